package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// parseCommand reads the line of an action. For a look, rest is the expectation on that line.
func parseCommand(tokens []token) (c command, rest []token, m *mistake) {
	const want = "PERSON: CODE STEP, or one of job, report, wait, window, sweep, deliver, crash, restart, deny, allow, turn to, expect"
	if len(tokens) == 0 {
		return nil, nil, got(tokens, want)
	}
	if len(tokens) > 1 && tokens[1].kind == colon && isName(tokens[0]) {
		c, m = parseOperation(who(tokens[0]), tokens[2:])
		return c, nil, m
	}
	first := tokens[0].text
	if tokens[0].kind != word {
		first = ""
	}
	args := tokens[1:]
	switch text := phrase(args); first {
	case "job":
		c, m = parseJob(args)
	case "report":
		c, m = parseReport(args)
	case "expect":
		return parseLook(args)
	case "wait":
		c, m = parseWait(args)
	case "window":
		c, m = parseWindow(args)
	case "sweep":
		c, m = &sweep{}, nothing(args)
	case "deliver":
		c, m = parseDeliver(args)
	case "crash":
		c = &crash{After: text == "after"}
		if text != "before" && text != "after" {
			m = got(args, "before or after")
		}
	case "restart":
		c, m = &restart{}, nothing(args)
	case "deny":
		c, m = parseDeny(args)
	case "allow":
		c, m = parseAllow(args)
	case "turn":
		c, m = parseTurn(args)
	case "in":
		m = got(tokens, "in between once, a comma, and an action: what happens in between has nothing in between")
	default:
		m = got(tokens, want)
	}
	return c, nil, m
}

// got is the mistake that stands in tokens.
func got(tokens []token, want string) *mistake {
	if len(tokens) == 0 {
		return &mistake{"nothing", want}
	}
	return &mistake{strconv.Quote(phrase(tokens)), want}
}

func nothing(tokens []token) *mistake {
	if len(tokens) > 0 {
		return got(tokens, "nothing after it")
	}
	return nil
}

// who returns a person's name, or "" for the anonymous actor.
func who(t token) string {
	if t.text == nobody {
		return ""
	}
	return t.text
}

func isName(t token) bool { return t.kind == word || t.kind == quoted }

func parseOperation(person string, tokens []token) (command, *mistake) {
	parts, m := clauses(tokens)
	if m != nil {
		return nil, m
	}
	options, m := parseOptions(parts[1:], nil)
	if m != nil {
		return nil, m
	}
	what := parts[0]
	name := what[0].text
	if cause, ok := effectWords[name]; ok {
		return parseEffect(&effectRequest{Person: person, Cause: cause, conditions: options}, what)
	}
	jobName := name
	if number, ok := strings.CutPrefix(name, "custom-"); ok && !strings.HasPrefix(number, "job-") {
		jobName = "custom-job-" + number // without a step it is the job's
	}
	jobCode, err := operation.ParseJobCode(jobName)
	onJob := err == nil
	code, err := operation.ParseCode(name)
	onStep := err == nil
	switch {
	case onJob && len(what) == 1:
		return &operate{Person: person, Cause: jobCode.Cause(), conditions: options}, nil
	case onJob && !onStep:
		return nil, got(what[1:], "a comma after "+name+", or nothing")
	case !onStep:
		return nil, got(what[:1], allNames(operation.AllJobCodes())+", give_up effect N, hurry effect N, or CODE STEP with CODE one of "+allNames(operation.AllCodes())+", custom-32 to custom-63")
	case len(what) == 1:
		return nil, got(what, name+" and the number of a step")
	}
	id, err := strconv.ParseInt(what[1].text, 10, 64)
	if err != nil || len(what) > 2 {
		return nil, got(what[1:], "the number of a step, and a comma before anything else")
	}
	return &operate{Person: person, Cause: code.Cause(), Step: step.ID(id), conditions: options}, nil
}

func parseEffect(c *effectRequest, what []token) (command, *mistake) {
	if len(what) == 3 && what[1] == (token{word, "effect"}) {
		if seq, err := strconv.ParseInt(what[2].text, 10, 64); err == nil {
			c.Effect = store.Seq(seq)
			return c, nil
		}
	}
	return nil, got(what, what[0].text+" effect and the number of its record, and a comma before anything else")
}

func allNames[T fmt.Stringer](all []T) string {
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = v.String()
	}
	return strings.Join(names, ", ")
}

func allReasons() string { return allNames(operation.AllReasons()) }

func checkReason(text string) *mistake {
	r, err := operation.ParseReason(text)
	if err != nil || text != r.String() {
		return &mistake{strconv.Quote(text), "a reason of a refusal: " + allReasons()}
	}
	return nil
}

func parseWait(tokens []token) (command, *mistake) {
	d, ok := parseDuration(tokens)
	if !ok {
		return nil, got(tokens, "a duration, such as 30s or -10m")
	}
	return &wait{d}, nil
}

func parseWindow(tokens []token) (command, *mistake) {
	if len(tokens) < 3 || !isName(tokens[0]) || tokens[0].text == "" || tokens[1].kind != colon {
		return nil, got(tokens, "NAME: and when it is open")
	}
	c := &window{Name: tokens[0].text}
	if answer := tokens[2]; len(tokens) == 3 && answer.kind == word && slices.Contains(wrongAnswers, answer.text) {
		c.Answer = answer.text
		return c, nil
	}
	parts, m := clauses(tokens[2:])
	if m != nil {
		return nil, m
	}
	for _, part := range parts {
		ok := len(part) == 3 && part[1] == token{word, "to"}
		var h hours
		if ok {
			from, err := time.Parse("15:04", part[0].text)
			to, err2 := time.Parse("15:04", part[2].text)
			h = hours{from.Hour()*60 + from.Minute(), to.Hour()*60 + to.Minute()}
			ok = err == nil && err2 == nil && len(part[0].text)+len(part[2].text) == 10
		}
		if !ok {
			return nil, got(part, "HH:MM to HH:MM, or one of "+strings.Join(wrongAnswers, ", "))
		}
		c.Hours = append(c.Hours, h)
	}
	return c, nil
}

func parseDeliver(tokens []token) (command, *mistake) {
	switch {
	case len(tokens) == 0:
		return &deliver{}, nil
	case phrase(tokens) == "and die":
		return &deliver{Dies: true}, nil
	case len(tokens) == 2 && tokens[0] == (token{word, "failing"}) && tokens[1].kind == quoted && tokens[1].text != "":
		return &deliver{Failing: tokens[1].text}, nil
	}
	return nil, got(tokens, `nothing, failing "WHY", or and die`)
}

func parseDeny(tokens []token) (command, *mistake) {
	parts, m := clauses(tokens)
	if m != nil {
		return nil, m
	}
	if len(parts[0]) != 1 || !isName(parts[0][0]) {
		return nil, got(parts[0], "a person")
	}
	c := &deny{Person: who(parts[0][0])}
	switch {
	case len(parts) == 1:
		return c, nil
	case len(parts) == 2 && len(parts[1]) == 2 && parts[1][0] == (token{word, "because"}) && parts[1][1].kind == quoted:
		c.Because = parts[1][1].text
		return c, nil
	}
	return nil, got(parts[1], `because "WHY"`)
}

func parseAllow(tokens []token) (command, *mistake) {
	if len(tokens) != 1 || !isName(tokens[0]) {
		return nil, got(tokens, "a person")
	}
	return &allow{Person: who(tokens[0])}, nil
}
