package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func parseReport(tokens []token) (command, *mistake) {
	at := slices.IndexFunc(tokens, func(t token) bool { return t.kind == colon })
	if at < 1 {
		return nil, got(tokens, "STEP.ATTEMPT: and what the executor says")
	}
	c, m := parseReportHead(tokens[:at])
	if m != nil {
		return nil, m
	}
	parts, m := clauses(tokens[at+1:])
	if m != nil {
		return nil, m
	}
	for _, part := range parts {
		if c.Outcome != 0 {
			return nil, got(part, fmt.Sprintf("nothing after %v", c.Outcome))
		}
		if m := c.parse(part); m != nil {
			return nil, m
		}
	}
	return c, nil
}

// parseReportHead reads STEP.ATTEMPT [by NAME] [in TYPE/ID].
func parseReportHead(tokens []token) (*report, *mistake) {
	c := &report{}
	id, attempt, _ := strings.Cut(tokens[0].text, ".")
	s, err := strconv.ParseInt(id, 10, 64)
	n, err2 := strconv.ParseInt(attempt, 10, 32)
	if err != nil || err2 != nil || tokens[0].kind != word {
		return nil, got(tokens[:1], "STEP.ATTEMPT, two numbers")
	}
	c.Step, c.Attempt = step.ID(s), int32(n)
	for tokens = tokens[1:]; len(tokens) > 0; tokens = tokens[2:] {
		ok := len(tokens) > 1 && tokens[0].kind == word && isName(tokens[1]) && tokens[1].text != ""
		switch {
		case ok && tokens[0].text == "by" && c.By == "" && c.In == (store.Scope{}):
			c.By = tokens[1].text
		case ok && tokens[0].text == "in" && c.In == (store.Scope{}):
			c.In, ok = parseScope(tokens[1].text)
		default:
			ok = false
		}
		if !ok {
			return nil, got(tokens, "by EXECUTOR, then in TYPE/ID, then a colon")
		}
	}
	return c, nil
}

// parse reads one part of a report: TARGET STATUS [exit N] [detail "TEXT"], or an outcome.
func (c *report) parse(tokens []token) *mistake {
	outcome, ok := parseWord(tokens[0].text)
	isOutcome := ok && (outcome == step.Stopped || outcome == step.Broke || outcome == step.Dropped)
	if isOutcome && (len(tokens) == 1 || len(tokens) == 2 && tokens[1].kind == quoted) {
		c.Outcome = outcome
		if len(tokens) == 2 {
			c.Reason = tokens[1].text
		}
		return nil
	}
	if !isName(tokens[0]) || len(tokens) < 2 {
		return got(tokens, `TARGET STATUS, or one of stopped, broke "WHY", dropped "WHY"`)
	}
	r := targetResult{Target: tokens[0].text}
	var err error
	if r.Status, err = step.ParseStatus(tokens[1].text); err != nil || tokens[1].kind != word {
		return got(tokens[1:2], "the status of a target: "+allNames(step.AllStatuses()))
	}
	rest := tokens[2:]
	if len(rest) >= 2 && rest[0] == (token{word, "exit"}) {
		n, err := strconv.ParseInt(rest[1].text, 10, 32)
		if err != nil {
			return got(rest[:2], "exit N")
		}
		r.ExitCode, rest = int32(n), rest[2:]
	}
	if len(rest) >= 2 && rest[0] == (token{word, "detail"}) && rest[1].kind == quoted {
		r.Detail, rest = rest[1].text, rest[2:]
	}
	if len(rest) > 0 {
		return got(rest, `nothing, or exit N, or detail "TEXT"`)
	}
	c.Results = append(c.Results, r)
	return nil
}

// parseWord reads the name of a cause, old names included, but no number.
func parseWord(text string) (step.Cause, bool) {
	if _, err := strconv.Atoi(text); err == nil {
		return 0, false
	}
	cause, err := step.ParseCause(text)
	return cause, err == nil
}
