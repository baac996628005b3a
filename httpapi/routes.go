package httpapi

// A route is one operation of the native API.
type route struct {
	method, path string
	query        []string // the accepted parameters
	body         int64    // maximum bytes of the body; 0 for no body
	conditional  bool     // accepts If-Match
	executor     bool     // for executors only
	open         bool     // without authentication
	handle       func(*call) (reply, error)
}

// routes are the routes of the native API, in the order of openapi.json.
var routes = []route{
	{method: "GET", path: "/v1/openapi.json", open: true, handle: (*call).openAPI},
	{method: "GET", path: "/v1/rules", handle: (*call).rules},

	{method: "GET", path: "/v1/jobs", query: []string{"state", "name", "after", "limit", "newest"}, handle: (*call).jobs},
	{method: "POST", path: "/v1/jobs", body: maxJob, handle: with((*call).create)},
	{method: "GET", path: "/v1/jobs/counts", query: []string{"most"}, handle: (*call).counts},
	{method: "GET", path: "/v1/jobs/{job}", handle: (*call).getJob},
	{method: "POST", path: "/v1/jobs/{job}/start", body: maxOperation, conditional: true, handle: with((*call).start)},
	{method: "POST", path: "/v1/jobs/{job}/terminate", body: maxOperation, conditional: true, handle: with((*call).terminate)},
	{method: "POST", path: "/v1/jobs/{job}/hold", body: maxOperation, conditional: true, handle: with((*call).hold)},
	{method: "POST", path: "/v1/jobs/{job}/resume", body: maxOperation, conditional: true, handle: with((*call).resume)},
	{method: "POST", path: "/v1/jobs/{job}/seal", body: maxOperation, conditional: true, handle: with((*call).seal)},
	{method: "POST", path: "/v1/jobs/{job}/comment", body: maxOperation, conditional: true, handle: with((*call).comment)},
	{method: "POST", path: "/v1/jobs/{job}/redo", body: maxOperation, handle: with((*call).redo)},
	{method: "GET", path: "/v1/jobs/{job}/diagnosis", handle: (*call).diagnose},

	{method: "GET", path: "/v1/jobs/{job}/steps", query: []string{"after", "limit"}, handle: (*call).steps},
	{method: "GET", path: "/v1/jobs/{job}/steps/{step}", handle: (*call).getStep},
	{method: "GET", path: "/v1/jobs/{job}/steps/{step}/explain", handle: (*call).explain},
	{method: "POST", path: "/v1/jobs/{job}/steps/{step}/operate", body: maxOperation, conditional: true, handle: with((*call).operate)},
	{method: "GET", path: "/v1/jobs/{job}/steps/{step}/targets", query: []string{"class", "status", "attempt", "if_attempt", "from", "limit"}, handle: (*call).targets},
	{method: "GET", path: "/v1/jobs/{job}/steps/{step}/batches", handle: (*call).batches},
	{method: "GET", path: "/v1/batches", query: []string{"batches", "total"}, handle: (*call).plan},

	{method: "POST", path: "/v1/jobs/{job}/steps/{step}/report", body: maxJob, executor: true, handle: with((*call).report)},

	{method: "GET", path: "/v1/jobs/{job}/history", query: []string{"after", "limit"}, handle: (*call).history},
	{method: "GET", path: "/v1/jobs/{job}/events", query: []string{"after", "progress"}, handle: (*call).events},
	{method: "GET", path: "/v1/jobs/{job}/effects", query: []string{"after", "limit"}, handle: (*call).effects},
	{method: "POST", path: "/v1/effects/claim", body: maxOperation, executor: true, handle: with((*call).claim)},
	{method: "POST", path: "/v1/jobs/{job}/effects/{seq}/settle", body: maxOperation, executor: true, handle: with((*call).settle)},
	{method: "POST", path: "/v1/jobs/{job}/effects/{seq}/renew", body: maxOperation, executor: true, handle: with((*call).renew)},
	{method: "POST", path: "/v1/jobs/{job}/effects/{seq}/fail", body: maxOperation, executor: true, handle: with((*call).failed)},
	{method: "POST", path: "/v1/jobs/{job}/effects/{seq}/release", body: maxOperation, executor: true, handle: with((*call).release)},
	{method: "POST", path: "/v1/jobs/{job}/effects/{seq}/give_up", body: maxOperation, conditional: true, handle: with((*call).giveUp)},
	{method: "POST", path: "/v1/jobs/{job}/effects/{seq}/hurry", body: maxOperation, conditional: true, handle: with((*call).hurry)},
}

// with returns a handler that decodes the body for f. An absent body counts as {}.
func with[B any](f func(*call, *B) (reply, error)) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		var body B
		if err := c.decode(&body); err != nil {
			return reply{}, err
		}
		return f(c, &body)
	}
}
