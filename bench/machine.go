package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// A machine is the hardware and software of a run: facts in the order of the page.
type machine []fact

type fact struct{ name, value string }

// peers are the modules whose versions the page says.
var peers = []string{
	"github.com/looplab/fsm", "github.com/qmuntal/stateless", "github.com/dbos-inc/dbos-transact-golang",
	"github.com/riverqueue/river", "github.com/jackc/pgx/v5", "modernc.org/sqlite",
}

// thisMachine returns the facts of this machine; some may be unknown.
func thisMachine(ctx context.Context, r *run) machine {
	m := machine{
		{"processor", fmt.Sprintf("%s, %d cores", processor(), runtime.NumCPU())},
		{"memory", memory()},
		{"system", operatingSystem()},
		{"Go", runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
		{"PostgreSQL", server(ctx, r)},
	}
	return append(m, versions()...)
}

// String returns the facts as a Markdown table.
func (m machine) String() string {
	var s strings.Builder
	s.WriteString("| on | |\n| :-- | :-- |\n")
	for _, f := range m {
		fmt.Fprintf(&s, "| %s | %s |\n", f.name, f.value)
	}
	return s.String()
}

// inWords returns the facts as a list within a sentence.
func (m machine) inWords() string {
	var all []string
	for _, f := range m {
		switch f.name {
		case "processor", "system":
			all = append(all, f.value)
		case "memory":
			all = append(all, f.value+" of memory")
		case "Go":
			all = append(all, f.value)
		default:
			all = append(all, f.name+" "+f.value)
		}
	}
	return strings.Join(all, ", ")
}

const unknown = "unknown"

func processor() string {
	return firstOf(fileMatch("/proc/cpuinfo", `(?m)^model name\s*:\s*(.+)$`), output("sysctl", "-n", "machdep.cpu.brand_string"))
}

func memory() string {
	if n, err := strconv.ParseFloat(fileMatch("/proc/meminfo", `MemTotal:\s*(\d+) kB`), 64); err == nil {
		return fmt.Sprintf("%.0f GiB", n/(1<<20))
	}
	if n, err := strconv.ParseFloat(output("sysctl", "-n", "hw.memsize"), 64); err == nil {
		return fmt.Sprintf("%.0f GiB", n/(1<<30))
	}
	return unknown
}

func operatingSystem() string {
	name := firstOf(fileMatch("/etc/os-release", `(?m)^PRETTY_NAME="?([^"\n]+)`), runtime.GOOS)
	if kernel := output("uname", "-sr"); kernel != "" {
		return name + ", " + kernel
	}
	return name
}

// versions returns the peers' versions as they were built into this program.
func versions() machine {
	built := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			built[d.Path] = d.Version
		}
	}
	var m machine
	for _, p := range peers {
		m = append(m, fact{p, firstOf(built[p])})
	}
	return m
}

// firstOf returns the first one that is not empty, or unknown.
func firstOf(all ...string) string {
	for _, s := range all {
		if s = strings.TrimSpace(s); s != "" {
			return s
		}
	}
	return unknown
}

// fileMatch returns the group that pattern finds in a file, or "".
func fileMatch(file, pattern string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if found := regexp.MustCompile(pattern).FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return ""
}

// output returns the output of a program, or "".
func output(program string, args ...string) string {
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
