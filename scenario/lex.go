package scenario

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A token is a piece of a line.
type token struct {
	kind tokenKind
	text string // of a quoted one, without its quotes
}

type tokenKind uint8

const (
	word   tokenKind = iota // anything without blanks, commas and quotes
	quoted                  // "..." as in Go
	comma
	colon // at the end of a word, or after a quoted one
)

const blanks = " \t"

// lex returns the tokens of a line.
func lex(line string) ([]token, *mistake) {
	if !utf8.ValidString(line) {
		return nil, &mistake{"bytes that are not UTF-8", "a text in UTF-8"}
	}
	if strings.HasPrefix(line, "\ufeff") {
		return nil, &mistake{"a byte order mark", "the line without it"}
	}
	if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }); i >= 0 {
		return nil, &mistake{"the control character " + strconv.QuoteToASCII(line[i:i+1]), "it quoted, as in Go"}
	}
	var tokens []token
	for rest := strings.TrimLeft(line, blanks); rest != ""; rest = strings.TrimLeft(rest, blanks) {
		switch rest[0] {
		case ',':
			tokens, rest = append(tokens, token{comma, ","}), rest[1:]
		case '"':
			text, after, m := lexQuoted(rest)
			if m != nil {
				return nil, m
			}
			tokens, rest = append(tokens, token{quoted, text}), after
			if strings.HasPrefix(rest, ":") {
				tokens, rest = append(tokens, token{colon, ":"}), rest[1:]
			}
			if rest != "" && !strings.ContainsRune(blanks+",", rune(rest[0])) {
				return nil, &mistake{strconv.Quote(rest), "a blank, a comma or a colon after what is quoted"}
			}
		default:
			end := strings.IndexAny(rest, blanks+`,"`)
			if end < 0 {
				end = len(rest)
			}
			text := rest[:end]
			rest = rest[end:]
			if strings.HasPrefix(rest, `"`) && !strings.HasSuffix(text, ".") {
				return nil, &mistake{strconv.Quote(rest), "a blank before what is quoted"}
			}
			if name, ok := strings.CutSuffix(text, ":"); ok {
				if name != "" {
					tokens = append(tokens, token{word, name})
				}
				tokens = append(tokens, token{colon, ":"})
				continue
			}
			tokens = append(tokens, token{word, text})
		}
	}
	return tokens, nil
}

// lexQuoted returns the quoted text that s begins with, and the rest.
func lexQuoted(s string) (text, after string, m *mistake) {
	prefix, err := strconv.QuotedPrefix(s)
	if err == nil {
		text, err = strconv.Unquote(prefix)
	}
	if err != nil {
		return "", "", &mistake{s, `a text between two quotes on one line, with \" and \\ for a quote and a backslash in it`}
	}
	return text, s[len(prefix):], nil
}

// phrase returns tokens with one blank between them, and none before a comma or a colon.
func phrase(tokens []token) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 && t.kind != colon && t.kind != comma {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// clauses returns the tokens between the commas.
func clauses(tokens []token) ([][]token, *mistake) {
	var all [][]token
	for begin, i := 0, 0; i <= len(tokens); i++ {
		if i < len(tokens) && tokens[i].kind != comma {
			continue
		}
		if i == begin {
			return nil, &mistake{"nothing", "something before and after each comma"}
		}
		all = append(all, tokens[begin:i])
		begin = i + 1
	}
	return all, nil
}

// name returns a text as one token.
func name(text string) string {
	if tokens, m := lex(text); m == nil && len(tokens) == 1 && tokens[0] == (token{word, text}) && text[0] != '#' {
		return text
	}
	return strconv.Quote(text)
}

// bare returns a text as words if they parse to the same text, and quoted otherwise.
func bare(text string) string {
	tokens, m := lex(text)
	if m != nil || len(tokens) == 0 || phrase(tokens) != text || text[0] == '#' {
		return strconv.Quote(text)
	}
	for i, t := range tokens {
		if t.kind != word && (t.kind != colon || i == 0) {
			return strconv.Quote(text)
		}
	}
	return text
}
