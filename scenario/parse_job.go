package scenario

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// parseOptions reads the options of a request: of an operation if job is nil, else of the creation of
// job, whose person and rules it writes to job.
func parseOptions(parts [][]token, job *creation) (conditions, *mistake) {
	var o conditions
	seen := map[string]bool{}
	for _, part := range parts {
		key, args := part[0].text, part[1:]
		if seen[key] {
			return o, got(part, key+" once")
		}
		seen[key] = true
		value := ""
		if len(args) == 1 && isName(args[0]) {
			value = args[0].text
		}
		n, numberErr := strconv.ParseInt(value, 10, 64)
		numbered := numberErr == nil && n > 0
		var ok bool
		switch {
		case key == "because":
			o.Because, ok = value, value != ""
		case key == "request":
			o.Request, ok = value, value != ""
		case key == "in":
			o.In, ok = parseScope(value)
		case key == "dry_run":
			o.DryRun, ok = true, len(args) == 0
		case job != nil:
			ok = job.parse(key, args, value)
		case key == "if_attempt":
			o.IfAttempt, ok = int32(n), numbered && n <= 1<<31-1
		case key == "if_version":
			o.IfVersion, ok = store.Seq(n), numbered
		}
		if !ok {
			also := "if_attempt N or if_version N with N from 1"
			if job != nil {
				also = "by PERSON, start_at TIME, timeout DURATION, turn KEY LIMIT"
			}
			return o, got(part, `one of because "WHY", request WORD, in TYPE/ID, dry_run, `+also)
		}
	}
	return o, nil
}

// parse reads an option that only a creation has, and reports whether it is one. value is that of
// args, if they are one name.
func (c *creation) parse(key string, args []token, value string) (ok bool) {
	switch key {
	case "by":
		if ok = value != ""; ok {
			c.By = who(args[0])
		}
	case "start_at":
		t, err := time.Parse(time.RFC3339, value)
		c.StartAt = step.At(t)
		ok = err == nil && c.StartAt != 0
	case "timeout":
		c.Timeout, ok = parseDuration(args)
	case "turn":
		if len(args) == 2 && isName(args[0]) {
			n, err := strconv.ParseInt(args[1].text, 10, 32)
			c.Turn = store.Turn{Key: args[0].text, Limit: int32(n)}
			ok = err == nil && c.Turn != store.Turn{}
		}
	}
	return ok
}

// parseDuration reads a duration that is not 0.
func parseDuration(tokens []token) (time.Duration, bool) {
	d, err := time.ParseDuration(phrase(tokens))
	return d, err == nil && d != 0 && len(tokens) == 1
}

func parseScope(text string) (store.Scope, bool) {
	typ, id, _ := strings.Cut(text, "/")
	if typ == "" || id == "" {
		return store.Scope{}, false
	}
	return store.Scope{Type: typ, ID: id}, true
}

func parseJob(tokens []token) (command, *mistake) {
	c := &creation{}
	parts, m := clauses(tokens)
	if m != nil {
		return nil, m
	}
	if len(parts[0]) != 1 || !isName(parts[0][0]) {
		return nil, got(parts[0], "the name of the job")
	}
	c.Name = parts[0][0].text
	c.conditions, m = parseOptions(parts[1:], c)
	return c, m
}

// steps reads the definitions of a job's steps, which stand first, and returns the other rows: the
// expected outcome of the creation.
func (p *parser) steps(job *creation, rows []row) []row {
	for i, r := range rows {
		key := r.tokens[0].text
		if _, err := step.ParseType(key); err == nil {
			spec, m := parseSpec(r.tokens)
			if m != nil {
				p.fail(r.line, m)
			}
			job.Steps = append(job.Steps, spec)
			continue
		}
		if _, ok := ofAnswer[key]; ok || key == refused || key == fill || key == "unknown" {
			return rows[i:]
		}
		p.fail(r.line, got(r.tokens[:1], "a step, TYPE NAME with TYPE one of script, file_transfer, confirmation, sql, custom-32 to custom-63, or after the steps what must come of the job"))
	}
	return nil
}

func parseSpec(tokens []token) (step.Spec, *mistake) {
	var s step.Spec
	parts, m := clauses(tokens)
	if m != nil {
		return s, m
	}
	head := parts[0]
	if len(head) != 2 || !isName(head[1]) {
		return s, got(head, "TYPE NAME")
	}
	s.Type, _ = step.ParseType(head[0].text)
	s.Name = head[1].text
	seen := map[string]bool{}
	for _, part := range parts[1:] {
		key, args := part[0].text, part[1:]
		if seen[key] {
			return s, got(part, key+" once")
		}
		seen[key] = true
		list := make([]string, len(args))
		ok := !slices.ContainsFunc(args, func(t token) bool { return !isName(t) })
		for i, arg := range args {
			list[i] = arg.text
		}
		switch key {
		case "targets":
			s.Targets, ok = list, ok && len(list) > 0
		case "confirmers":
			s.Confirmers = list
		case "stop_before":
			s.StopBefore, ok = true, len(args) == 0
		case "timeout":
			s.Timeout, ok = parseDuration(args)
		case "confirm_on_timeout":
			s.OnTimeout, ok = step.ConfirmOnTimeout, len(args) == 0
		case "ignore_errors":
			s.IgnoreErrors, ok = true, len(args) == 0
		case "payload":
			ok = ok && len(list) == 1 && list[0] != ""
			s.Payload = strings.Join(list, " ")
		default:
			ok = parseRule(&s, key, args)
		}
		if !ok {
			return s, got(part, `one of targets NAME ..., confirmers NAME ..., stop_before, timeout DURATION, confirm_on_timeout, ignore_errors, payload "TEXT", `+
				`total_timeout DURATION, delay DURATION, window NAME, retry N [after DURATION [most DURATION]] [except STATUS ...], `+
				`batches SIZE ..., between [person] [DURATION], tolerate N or N%`)
		}
	}
	return s, nil
}

// parseRule reads an option of a step that is part of its policy, and reports whether it is one.
func parseRule(s *step.Spec, key string, args []token) (ok bool) {
	if len(args) == 0 {
		return false
	}
	switch key {
	case "total_timeout":
		s.TotalTimeout, ok = parseDuration(args)
	case "delay":
		s.Delay, ok = parseDuration(args)
	case "window":
		s.Window, ok = args[0].text, len(args) == 1 && isName(args[0]) && args[0].text != ""
	case "retry":
		ok = parseRetry(&s.Retry, args)
	case "batches":
		s.Rolling.Batches = phrase(args)
		ok = s.Rolling.Batches != "" && !slices.ContainsFunc(args, func(t token) bool { return !isName(t) })
	case "between":
		between := &s.Rolling.Between
		if between.Person = args[0] == (token{word, "person"}); between.Person {
			args = args[1:]
		}
		ok = len(args) == 0
		if !ok {
			between.Delay, ok = parseDuration(args)
		}
	case "tolerate":
		digits, percent := strings.CutSuffix(args[0].text, "%")
		n, err := strconv.ParseInt(digits, 10, 32)
		if percent {
			s.Tolerate.Percent = int32(n)
		} else {
			s.Tolerate.Count = int32(n)
		}
		ok = err == nil && n != 0 && len(args) == 1
	}
	return ok
}

// parseRetry reads N [after DURATION [most DURATION]] [except STATUS ...].
func parseRetry(r *step.Retry, args []token) bool {
	n, err := strconv.ParseInt(args[0].text, 10, 32)
	r.Attempts, args = int32(n), args[1:]
	ok := err == nil && n != 0
	is := func(text string) bool { return len(args) >= 2 && args[0] == (token{word, text}) }
	if ok && is("after") {
		r.After, ok = parseDuration(args[1:2])
		args = args[2:]
		if ok && is("most") {
			r.Most, ok = parseDuration(args[1:2])
			args = args[2:]
		}
	}
	if ok && is("except") {
		for _, t := range args[1:] {
			status, err := step.ParseStatus(t.text)
			r.Except, ok = append(r.Except, status), ok && err == nil && t.kind == word
		}
		args = nil
	}
	return ok && len(args) == 0
}
