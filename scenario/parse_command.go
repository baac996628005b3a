package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// command reads the line of an action. Of a look, rest is what it wants on that line.
func (p *parser) command(tokens []token) (c Command, rest []token, err error) {
	const want = "PERSON: CODE STEP, or one of job, report, wait, sweep, deliver, crash, restart, deny, allow, turn to, expect"
	if len(tokens) == 0 {
		return nil, nil, got(tokens, want)
	}
	if len(tokens) > 1 && tokens[1].kind == colon && isName(tokens[0]) {
		c, err = p.operation(who(tokens[0]), tokens[2:])
		return c, nil, err
	}
	first := tokens[0].text
	if tokens[0].kind != word {
		first = ""
	}
	args := tokens[1:]
	switch text := phrase(args); first {
	case "job":
		c, err = parseJob(args)
	case "report":
		c, err = p.report(args)
	case "expect":
		return p.look(args)
	case "wait":
		c, err = parseWait(args)
	case "sweep":
		c, err = &Sweep{}, none(args)
	case "deliver":
		c, err = parseDeliver(args)
	case "crash":
		c = &Crash{After: text == "after"}
		if text != "before" && text != "after" {
			err = got(args, "before or after")
		}
	case "restart":
		c, err = &Restart{}, none(args)
	case "deny":
		c, err = parseDeny(args)
	case "allow":
		c, err = parseAllow(args)
	case "turn":
		c, err = p.turn(args)
	default:
		err = got(tokens, want)
	}
	return c, nil, err
}

// got is the mistake that stands in tokens.
func got(tokens []token, want string) error {
	if len(tokens) == 0 {
		return mistake{"nothing", want}
	}
	return mistake{strconv.Quote(phrase(tokens)), want}
}

func none(tokens []token) error {
	if len(tokens) > 0 {
		return got(tokens, "nothing after it")
	}
	return nil
}

// who returns a person's name; nobody's is "".
func who(t token) string {
	if t.text == nobody {
		return ""
	}
	return t.text
}

func isName(t token) bool { return t.kind == word || t.kind == quoted }

// needsJob is the mistake of an action before any job.
func (p *parser) needsJob() error {
	if p.job == nil && !p.hazy {
		return mistake{"an action without a job", "job NAME before it"}
	}
	return nil
}

func (p *parser) operation(person string, tokens []token) (Command, error) {
	if err := p.needsJob(); err != nil {
		return nil, err
	}
	parts, err := clauses(tokens)
	if err != nil {
		return nil, err
	}
	options, err := parseOptions(parts[1:], true, nil)
	if err != nil {
		return nil, err
	}
	what := parts[0]
	if len(what) == 1 {
		code, err := operation.ParseJobCode(what[0].text)
		if err == nil {
			return &OperateJob{Person: person, Code: code, Options: options}, nil
		}
		if _, err := operation.ParseCode(what[0].text); err == nil {
			return nil, got(what, what[0].text+" and the number of a step")
		}
		return nil, got(what, "start_job, terminate_job, or CODE STEP with CODE one of "+allNames(operation.AllCodes())+", custom-32 to custom-63")
	}
	code, err := operation.ParseCode(what[0].text)
	if err != nil {
		return nil, got(what[:1], "the code of an operation on a step: "+allNames(operation.AllCodes())+", custom-32 to custom-63")
	}
	id, err := strconv.ParseInt(what[1].text, 10, 64)
	if err != nil || len(what) > 2 {
		return nil, got(what[1:], "the number of a step")
	}
	return &Operate{Person: person, Code: code, Step: step.ID(id), Options: options}, nil
}

func allNames[T fmt.Stringer](all []T) string {
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = v.String()
	}
	return strings.Join(names, ", ")
}

func allReasons() string { return allNames(operation.AllReasons()) }

func parseReason(text string) (operation.Reason, error) {
	r, err := operation.ParseReason(text)
	if err != nil || text != r.String() {
		return 0, mistake{strconv.Quote(text), "a reason of a refusal: " + allReasons()}
	}
	return r, nil
}

func parseWait(tokens []token) (Command, error) {
	d, err := time.ParseDuration(phrase(tokens))
	if err != nil || d <= 0 || len(tokens) != 1 {
		return nil, got(tokens, "a duration, such as 30s or 10m")
	}
	return &Wait{d}, nil
}

func parseDeliver(tokens []token) (Command, error) {
	switch {
	case len(tokens) == 0:
		return &Deliver{}, nil
	case phrase(tokens) == "and die":
		return &Deliver{Dies: true}, nil
	case len(tokens) == 2 && tokens[0] == (token{word, "failing"}) && tokens[1].kind == quoted && tokens[1].text != "":
		return &Deliver{Failing: tokens[1].text}, nil
	}
	return nil, got(tokens, `nothing, failing "WHY", or and die`)
}

func parseDeny(tokens []token) (Command, error) {
	parts, err := clauses(tokens)
	if err != nil {
		return nil, err
	}
	if len(parts[0]) != 1 || !isName(parts[0][0]) {
		return nil, got(parts[0], "a person")
	}
	c := &Deny{Person: who(parts[0][0])}
	switch {
	case len(parts) == 1:
		return c, nil
	case len(parts) == 2 && len(parts[1]) == 2 && parts[1][0] == (token{word, "because"}) && parts[1][1].kind == quoted:
		c.Because = parts[1][1].text
		return c, nil
	}
	return nil, got(parts[1], `because "WHY"`)
}

func parseAllow(tokens []token) (Command, error) {
	if len(tokens) != 1 || !isName(tokens[0]) {
		return nil, got(tokens, "a person")
	}
	return &Allow{Person: who(tokens[0])}, nil
}
