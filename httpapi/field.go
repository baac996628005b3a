package httpapi

import (
	"strconv"
	"strings"
)

// wireFields says how a field of the engine's is called on the wire. A field without a name there
// is not the client's: the program that serves has set it.
var wireFields = map[string]string{
	"Job": "job", "Step": "step", "Code": "code", "By": "person", "Because": "reason", "Reason": "reason",
	"IfAttempt": "if_attempt", "IfVersion": "if_version", "RequestID": "request_id",

	"Name": "name", "Scope": "scope", "Scope.Type": "scope.type", "Scope.ID": "scope.id", "Steps": "steps",
	"Type": "type", "Targets": "targets", "IgnoreErrors": "ignore_errors", "Confirmers": "confirmers",
	"Timeout": "timeout_ms", "OnTimeout": "on_timeout", "Payload": "payload",

	"Attempt": "attempt", "Results": "results", "Outcome": "outcome",
	"Target": "target", "Status": "status", "Detail": "detail",

	"Limit": "limit", "From": "from", "Class": "class", "States": "state",

	"Effects": "effects", "Lease": "lease_ms", "Wait": "wait_ms", "Seq": "seq", "Count": "count", "cause": "error",

	"Handler": "", "Store": "", "ctx": "", "options": "", "Command": "", "Rules": "", "WithJobIDs": "",
}

// wireField returns how a field of an engine's refusal ("Steps[2].OnTimeout") is called on the
// wire ("steps[2].on_timeout"), and whether it is the client's at all.
func wireField(field string) (string, bool) {
	if name, ok := wireFields[field]; ok {
		return name, name != ""
	}
	parts := strings.Split(field, ".")
	for i, part := range parts {
		name, index, _ := strings.Cut(part, "[")
		if parts[i] = wireFields[name]; parts[i] == "" {
			return "", false
		}
		if index != "" {
			parts[i] += "[" + index
		}
	}
	return strings.Join(parts, "."), true
}

// wireDetail returns what the engine says of a field without the text that it begins by
// quoting, and in the words of the wire.
func wireDetail(detail string) string {
	if quoted, err := strconv.QuotedPrefix(detail); err == nil {
		detail = "it " + strings.TrimSpace(detail[len(quoted):])
	}
	return strings.Replace(detail, "no Timeout", "no timeout_ms", 1)
}
