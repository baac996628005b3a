package scenario

import (
	"slices"
	"strconv"
	"strings"
)

func parseTurn(tokens []token) (command, *mistake) {
	if len(tokens) != 2 || tokens[0] != (token{word, "to"}) || !isName(tokens[1]) {
		return nil, got(tokens, "to and the name of a job")
	}
	return &turnTo{Job: tokens[1].text}, nil
}

func parseLook(tokens []token) (c command, rest []token, m *mistake) {
	at := slices.IndexFunc(tokens, func(t token) bool { return t.kind == colon })
	if at < 1 {
		return nil, nil, got(tokens, "SUBJECT: and how it must be")
	}
	subject, rest := tokens[:at], tokens[at+1:]
	look := &look{}
	if n := len(subject); n > 2 && subject[n-2] == (token{word, "in"}) && isName(subject[n-1]) {
		var ok bool
		if look.In, ok = parseScope(subject[n-1].text); ok {
			subject = subject[:n-2]
		}
	}
	if !parseSubject(look, subject) {
		return nil, nil, got(subject, "one of job, diagnosis, step N, target N.NAME, batches N, record N, history, effects, jobs, PERSON on N, PERSON on N in full; and then, if any, in TYPE/ID")
	}
	return look, rest, nil
}

// parseSubject reads the subject of a look, and reports whether it is one.
func parseSubject(c *look, tokens []token) bool {
	last := tokens[len(tokens)-1].text
	n, err := strconv.ParseInt(last, 10, 64)
	number := err == nil && len(tokens) == 2
	switch at := subject(tokens[0].text); {
	case len(tokens) > 2 && tokens[1] == (token{word, "on"}) && isName(tokens[0]):
		c.At, c.Name = verdicts, who(tokens[0])
		c.Number, err = strconv.ParseInt(tokens[2].text, 10, 64)
		c.Full = len(tokens) == 5 && phrase(tokens[3:]) == "in full"
		return err == nil && (c.Full || len(tokens) == 3)
	case tokens[0].kind != word:
		return false
	case (at == theJob || at == theWait || at == theHistory || at == theEffects || at == allJobs) && len(tokens) == 1:
		c.At = at
	case (at == oneStep || at == oneRecord || at == theBatches) && number:
		c.At, c.Number = at, n
	case at == oneTarget && len(tokens) >= 2 && len(tokens) <= 3:
		id, target, dotted := strings.Cut(tokens[1].text, ".")
		if len(tokens) == 3 { // N."NAME"
			if target != "" || tokens[2].kind != quoted {
				return false
			}
			target = last
		}
		c.At, c.Name = at, target
		c.Number, err = strconv.ParseInt(id, 10, 64)
		return err == nil && dotted && tokens[1].kind == word
	default:
		return false
	}
	return true
}
