package scenario

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// parseOptions reads what is added to a request: if by is nil, to one that operates; otherwise
// to one that creates, and by takes who it is from.
func parseOptions(parts [][]token, by *string) (conditions, *mistake) {
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
		case key == "by" && by != nil:
			ok = value != ""
			if ok {
				*by = who(args[0])
			}
		case key == "if_attempt" && by == nil:
			o.IfAttempt, ok = int32(n), numbered && n <= 1<<31-1
		case key == "if_version" && by == nil:
			o.IfVersion, ok = store.Seq(n), numbered
		}
		if !ok {
			also := "if_attempt N or if_version N with N from 1"
			if by != nil {
				also = "by PERSON"
			}
			return o, got(part, `one of because "WHY", request WORD, in TYPE/ID, dry_run, `+also)
		}
	}
	return o, nil
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
	c.conditions, m = parseOptions(parts[1:], &c.By)
	return c, m
}

// steps reads the definitions of a job's steps, which stand first, and returns the rows that
// are left: what must come of the creation.
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
		case "timeout":
			var err error
			s.Timeout, err = time.ParseDuration(phrase(args))
			ok = err == nil && s.Timeout != 0
		case "confirm_on_timeout":
			s.OnTimeout, ok = step.ConfirmOnTimeout, len(args) == 0
		case "ignore_errors":
			s.IgnoreErrors, ok = true, len(args) == 0
		case "payload":
			ok = ok && len(list) == 1 && list[0] != ""
			s.Payload = strings.Join(list, " ")
		default:
			ok = false
		}
		if !ok {
			return s, got(part, `one of targets NAME ..., confirmers NAME ..., timeout DURATION, confirm_on_timeout, ignore_errors, payload "TEXT"`)
		}
	}
	return s, nil
}
