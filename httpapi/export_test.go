package httpapi

// A Route is a route for tests.
type Route struct {
	Method, Path string
	Query        []string
	Body         int64
	Conditional  bool
	Executor     bool
	Open         bool
}

// Routes returns the table of the native API.
func Routes() (all []Route) {
	for _, r := range routes {
		all = append(all, Route{r.method, r.path, r.query, r.body, r.conditional, r.executor, r.open})
	}
	return all
}

// Reasons returns every reason that a problem can have.
func Reasons() (all []string) {
	for reason := range problems {
		all = append(all, reason)
	}
	return all
}

// StatusOf returns the HTTP status of the problems with a reason.
func StatusOf(reason string) int { return problems[reason].status }
