package httpapi

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
)

// Tokens are callers by their secret tokens, for a service with a few callers of its own. The empty
// token admits no caller.
type Tokens map[string]Caller

var errUnknownToken = errors.New("the request has no known token")

// Identify is an [Identify] that takes the token from the header "Authorization: Bearer TOKEN". Clients
// of the reference calls without this header send it as access_token or bk_token. The time that it
// takes does not depend on how much of a token is right: each comparison takes constant time, and all
// tokens are compared.
func (t Tokens) Identify(r *http.Request, c Credentials) (Caller, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = cmp.Or(c.AccessToken, c.Token)
	}
	sum := sha256.Sum256([]byte(token))
	caller, err := Caller{}, errUnknownToken
	for known, its := range t {
		if s := sha256.Sum256([]byte(known)); subtle.ConstantTimeCompare(sum[:], s[:]) == 1 && known != "" {
			caller, err = its, nil
		}
	}
	return caller, err
}
