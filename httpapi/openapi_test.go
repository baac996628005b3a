package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An object is a part of the document.
type object = map[string]any

// described is the document as a test reads it.
type described struct {
	*testing.T
	all object
}

func readDocument(t *testing.T) described {
	t.Helper()
	d := described{T: t}
	if err := json.Unmarshal(OpenAPI(), &d.all); err != nil {
		t.Fatal(err)
	}
	return d
}

// at returns the value at a pointer ("#/components/schemas/Job"), following references.
func (d described) at(pointer string) object {
	d.Helper()
	v := d.all
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "#/"), "/") {
		next, ok := v[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)].(object)
		if !ok {
			d.Fatalf("the document has nothing at %s", pointer)
		}
		v = next
	}
	return d.follow(v)
}

func (d described) follow(v object) object {
	d.Helper()
	if ref, ok := v["$ref"].(string); ok {
		return d.at(ref)
	}
	return v
}

// texts returns a list of strings, which may be absent.
func texts(v any) []string {
	var all []string
	list, _ := v.([]any)
	for _, one := range list {
		all = append(all, one.(string))
	}
	return all
}

// The document describes every route, and no other, with its parameters, its kinds of callers and the
// limit of its body.
func TestDocumentDescribesTheRoutes(t *testing.T) {
	d := readDocument(t)
	left := map[string]object{}
	for path, operations := range d.at("#/paths") {
		for method, op := range operations.(object) {
			left[strings.ToUpper(method)+" "+path] = op.(object)
		}
	}
	ids := map[string]bool{}
	for _, r := range routes {
		name := r.method + " " + r.path
		op, ok := left[name]
		if !ok {
			t.Errorf("%s is not described", name)
			continue
		}
		delete(left, name)
		id, _ := op["operationId"].(string)
		if id == "" || ids[id] {
			t.Errorf("%s: operationId %q is empty or not its own", name, id)
		}
		ids[id] = true
		got := map[string][]string{}
		parameters, _ := op["parameters"].([]any)
		for _, p := range parameters {
			p := d.follow(p.(object))
			got[p["in"].(string)] = append(got[p["in"].(string)], p["name"].(string))
		}
		want := map[string][]string{}
		for _, m := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(r.path, -1) {
			want["path"] = append(want["path"], m[1])
		}
		if len(r.query) > 0 {
			want["query"] = r.query
		}
		if r.conditional {
			want["header"] = []string{"If-Match"}
		}
		if strings.HasSuffix(r.path, "/events") {
			want["header"] = []string{"Last-Event-ID"}
		}
		for _, in := range []string{"path", "query", "header"} {
			slices.Sort(got[in])
			if !slices.Equal(got[in], slices.Sorted(slices.Values(want[in]))) {
				t.Errorf("%s: parameters in the %s are %v, the route takes %v", name, in, got[in], want[in])
			}
		}
		limit, _ := op["x-body-limit"].(float64)
		_, hasBody := op["requestBody"]
		if int64(limit) != r.body || hasBody != (r.body > 0) {
			t.Errorf("%s: x-body-limit %v, a body %v; the route takes %d bytes", name, limit, hasBody, r.body)
		}
		if executor, _ := op["x-executor"].(bool); executor != r.executor {
			t.Errorf("%s: x-executor %v, the route has %v", name, executor, r.executor)
		}
		answers := op["responses"].(object)
		for status, want := range map[string]bool{
			"401": !r.open, "403": r.method == "POST", "404": strings.Contains(r.path, "{"), "408": r.body > 0,
			"412": r.conditional, "415": r.body > 0, "429": strings.HasSuffix(r.path, "/events"),
		} {
			if _, ok := answers[status]; ok != want {
				t.Errorf("%s: an answer with %s is described: %v, want %v", name, status, ok, want)
			}
		}
	}
	for name := range left {
		t.Errorf("%s is described, and there is no such route", name)
	}
}

// The objects of the wire: the Go type of each schema, and whether it is a request.
var wireTypes = map[string]struct {
	of      reflect.Type
	request bool
}{
	"CreateJob":    {reflect.TypeFor[createBody](), true},
	"StepSpec":     {reflect.TypeFor[specBody](), true},
	"Scope":        {reflect.TypeFor[store.Scope](), true},
	"GivenRetry":   {reflect.TypeFor[retryBody](), true},
	"OperateJob":   {reflect.TypeFor[moreBody](), true},
	"Redo":         {reflect.TypeFor[redoBody](), true},
	"OperateStep":  {reflect.TypeFor[operateBody](), true},
	"Report":       {reflect.TypeFor[reportBody](), true},
	"TargetResult": {reflect.TypeFor[resultBody](), true},
	"Claim":        {reflect.TypeFor[claimBody](), true},
	"Settle":       {reflect.TypeFor[settleBody](), true},
	"Renew":        {reflect.TypeFor[renewBody](), true},
	"Fail":         {reflect.TypeFor[failBody](), true},

	"Problem":       {reflect.TypeFor[problem](), false},
	"Job":           {reflect.TypeFor[wireJob](), false},
	"JobPolicy":     {reflect.TypeFor[wireJobPolicy](), false},
	"Turn":          {reflect.TypeFor[store.Turn](), false},
	"JobScope":      {reflect.TypeFor[store.Scope](), false},
	"Step":          {reflect.TypeFor[wireStep](), false},
	"Policy":        {reflect.TypeFor[wirePolicy](), false},
	"Retry":         {reflect.TypeFor[wireRetry](), false},
	"Rolling":       {reflect.TypeFor[wireRolling](), false},
	"Between":       {reflect.TypeFor[wireBetween](), false},
	"Tolerance":     {reflect.TypeFor[step.Tolerance](), false},
	"Gate":          {reflect.TypeFor[store.Gate](), false},
	"Batch":         {reflect.TypeFor[store.Batch](), false},
	"BatchList":     {reflect.TypeFor[wireBatches](), false},
	"PlannedBatch":  {reflect.TypeFor[plannedBatch](), false},
	"BatchPlan":     {reflect.TypeFor[wirePlan](), false},
	"Target":        {reflect.TypeFor[store.Target](), false},
	"Record":        {reflect.TypeFor[store.Record](), false},
	"Run":           {reflect.TypeFor[store.Run](), false},
	"WaitingEffect": {reflect.TypeFor[store.Delivery](), false},
	"Refusal":       {reflect.TypeFor[engine.Refusal](), false},
	"Verdict":       {reflect.TypeFor[engine.Verdict](), false},
	"Explanation":   {reflect.TypeFor[wireExplanation](), false},
	"Diagnosis":     {reflect.TypeFor[engine.Diagnosis](), false},
	"Delivery":      {reflect.TypeFor[wireDelivery](), false},
	"Deliveries": {reflect.TypeFor[struct {
		Items []wireDelivery `json:"items"`
	}](), false},
	"ReportReceipt": {reflect.TypeFor[engine.ReportReceipt](), false},
	"Rejection":     {reflect.TypeFor[engine.Rejection](), false},
	"Rules":         {reflect.TypeFor[operation.Table](), false},
	"StepKind":      {reflect.TypeFor[step.Kind](), false},
	"LifecycleRow":  {reflect.TypeFor[step.Transition](), false},
	"Row":           {reflect.TypeFor[operation.Row](), false},
	"JobCounts":     {reflect.TypeFor[wireCounts](), false},
	"JobPage": {reflect.TypeFor[struct {
		wirePage[wireJob]
		Window *int  `json:"window,omitempty"`
		Beyond *bool `json:"beyond,omitempty"`
	}](), false},
	"StepPage":   {reflect.TypeFor[wirePage[wireStep]](), false},
	"TargetPage": {reflect.TypeFor[wirePage[store.Target]](), false},
	"RecordPage": {reflect.TypeFor[wirePage[store.Record]](), false},
	"EffectPage": {reflect.TypeFor[wirePage[store.Delivery]](), false},
}

// neverSent are fields that a type has and no answer.
var neverSent = map[string][]string{
	"Refusal": {"field"}, // of invalid_input, which no verdict is
}

// A jsonField is a field of a struct as JSON has it.
type jsonField struct {
	name     string
	of       reflect.Type
	optional bool
}

// jsonFields returns the fields of a struct; one of the struct itself hides that of an embedded one.
func jsonFields(t reflect.Type) (all []jsonField) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, more, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			all = append(all, jsonFields(f.Type)...)
		case f.IsExported() && name != "-":
			all = slices.DeleteFunc(all, func(inner jsonField) bool { return inner.name == name })
			all = append(all, jsonField{name, f.Type, strings.HasPrefix(more, "omit")})
		}
	}
	return all
}

// Every object of the wire is described field by field, and there is no other schema. The fields that
// an answer always has are required. Tests of traffic compare the required fields of requests with
// the handlers.
func TestDocumentDescribesTheObjects(t *testing.T) {
	d := readDocument(t)
	schemas := d.at("#/components/schemas")
	for name := range schemas {
		if _, ok := wireTypes[name]; !ok && d.at("#/components/schemas/" + name)["type"] == "object" {
			t.Errorf("%s is described, and nothing on the wire is one", name)
		}
	}
	for name, wire := range wireTypes {
		s := d.at("#/components/schemas/" + name)
		if s["type"] != "object" || s["additionalProperties"] != false {
			t.Errorf("%s: type %v, additionalProperties %v; want an object that has what is described and no more", name, s["type"], s["additionalProperties"])
		}
		properties := s["properties"].(object)
		var names, required []string
		for _, f := range jsonFields(wire.of) {
			if slices.Contains(neverSent[name], f.name) {
				continue
			}
			names = append(names, f.name)
			if !f.optional {
				required = append(required, f.name)
			}
			if p, ok := properties[f.name].(object); ok {
				if wrong := d.misfit(p, f.of); wrong != "" {
					t.Errorf("%s.%s: %s", name, f.name, wrong)
				}
			}
		}
		slices.Sort(names)
		if got := slices.Sorted(maps.Keys(properties)); !slices.Equal(got, names) {
			t.Errorf("%s has the properties %v, its fields are %v", name, got, names)
		}
		slices.Sort(required)
		if got := slices.Sorted(slices.Values(texts(s["required"]))); !wire.request && !slices.Equal(got, required) {
			t.Errorf("%s requires %v, an answer always has %v", name, got, required)
		}
	}
}

// alphabets says which schemas describe the words of the wire.
var alphabets = map[reflect.Type]string{
	reflect.TypeFor[step.State](): "State", reflect.TypeFor[step.Status](): "Status", reflect.TypeFor[step.Type](): "Type",
	reflect.TypeFor[step.Cause](): "Cause", reflect.TypeFor[step.Do](): "Do", reflect.TypeFor[step.Decision](): "Decision",
	reflect.TypeFor[step.GateReason](): "GateReason", reflect.TypeFor[engine.Awaits](): "Awaits",
	reflect.TypeFor[operation.Guard](): "Guard", reflect.TypeFor[operation.Reason](): "Reason",
	reflect.TypeFor[store.Effect](): "Effect", reflect.TypeFor[step.Time](): "Time",
	reflect.TypeFor[store.RequestID](): "RequestID",
}

// misfit returns how a schema differs from a Go type, "" if it does not.
func (d described) misfit(s object, of reflect.Type) string {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	ref, _ := s["$ref"].(string)
	ref = strings.TrimPrefix(ref, "#/components/schemas/")
	if name, ok := alphabets[of]; ok {
		if ref != name {
			return fmt.Sprintf("it is described as %q, and is a %s", ref, name)
		}
		return ""
	}
	if wire, ok := wireTypes[ref]; ok {
		if wire.of != of {
			return fmt.Sprintf("it is described as %s, and is a %v", ref, of)
		}
		return ""
	}
	whole := d.follow(s)
	kind := whole["type"]
	switch of {
	case reflect.TypeFor[word]():
		if !strings.HasPrefix(ref, "Given") {
			return fmt.Sprintf("it is described as %q, and names and numbers are taken", ref)
		}
		return ""
	case reflect.TypeFor[step.Names]():
		if fmt.Sprint(kind) != "[array null]" {
			return fmt.Sprintf("type %v", kind)
		}
		return ""
	case reflect.TypeFor[step.States](), reflect.TypeFor[step.Types](), reflect.TypeFor[step.Causes]():
		element := map[reflect.Type]reflect.Type{
			reflect.TypeFor[step.States](): reflect.TypeFor[step.State](), reflect.TypeFor[step.Types](): reflect.TypeFor[step.Type](),
			reflect.TypeFor[step.Causes](): reflect.TypeFor[step.Cause](),
		}[of]
		return d.misfit(whole["items"].(object), element)
	}
	want, format := "", ""
	switch of.Kind() {
	case reflect.Bool:
		want = "boolean"
	case reflect.String:
		want = "string"
	case reflect.Int32, reflect.Int: // an int is a count here, of at most 10,000
		want, format = "integer", "int32"
	case reflect.Int64:
		want, format = "integer", "int64"
	case reflect.Map:
		values, _ := whole["additionalProperties"].(object)
		names, _ := whole["propertyNames"].(object)
		if kind != "object" || values == nil || names == nil {
			return fmt.Sprintf("type %v, it is a map", kind)
		}
		return d.misfit(names, of.Key()) + d.misfit(values, of.Elem())
	case reflect.Slice:
		if kind != "array" {
			return fmt.Sprintf("type %v, it is a list", kind)
		}
		return d.misfit(whole["items"].(object), of.Elem())
	}
	if whole["format"] != nil && whole["format"] != format && want == "integer" || kind != want || want == "integer" && whole["format"] == nil {
		return fmt.Sprintf("type %v, format %v; it is a %v", kind, whole["format"], of)
	}
	return ""
}

func namesOf[T fmt.Stringer](all []T) (names []string) {
	for _, v := range all {
		names = append(names, v.String())
	}
	return names
}

func numbersOf[T ~uint8 | ~uint16](all []T) (numbers []float64) {
	for _, v := range all {
		numbers = append(numbers, float64(v))
	}
	return numbers
}

// declared returns the values of an alphabet that has no function for them, from its zero on. The zero
// has a name and marshals as empty text.
func declared[T interface {
	~uint8
	fmt.Stringer
	MarshalText() ([]byte, error)
}, P interface {
	*T
	UnmarshalText([]byte) error
}]() (all []T) {
	for v := range math.MaxUint8 {
		if P(new(T)).UnmarshalText([]byte(T(v).String())) == nil {
			all = append(all, T(v))
		}
	}
	return all
}

// The words of the document are those of the packages, by name and by number.
func TestDocumentHasTheAlphabets(t *testing.T) {
	d := readDocument(t)
	enums := map[string][]string{
		"State": namesOf(step.AllStates()), "Status": append([]string{""}, namesOf(step.AllStatuses())...),
		"Type": namesOf([]step.Type{step.Script, step.FileTransfer, step.Confirmation, step.SQL}), "Code": namesOf(operation.AllCodes()),
		"Cause": namesOf(step.AllCauses()), "Do": namesOf(step.AllDos()), "Reason": namesOf(operation.AllReasons()),
		"Decision": namesOf(declared[step.Decision]()), "Guard": append([]string{""}, namesOf(declared[operation.Guard]()[1:])...),
		"Effect":     append([]string{""}, namesOf(declared[store.Effect]()[1:])...),
		"Awaits":     namesOf(engine.AllAwaits()),
		"GateReason": append([]string{""}, namesOf(step.AllGateReasons())...),
		"GivenState": namesOf(step.AllStates()), "GivenStatus": namesOf(step.AllStatuses()), "GivenType": nil, "GivenCode": nil,
		"GivenDecision": nil, "GivenEffect": namesOf(declared[store.Effect]()[1:]),
		"GivenOutcome": append(namesOf([]step.Cause{step.Stopped, step.Broke, step.Dropped}), "abnormal", "abandoned"),
	}
	numbers := map[string][]float64{
		"GivenState": numbersOf(step.AllStates()), "GivenStatus": numbersOf(step.AllStatuses()),
		"GivenType": {1, 2, 3, 4}, "GivenCode": numbersOf(operation.AllCodes()), "GivenDecision": numbersOf(declared[step.Decision]()),
		"GivenEffect": numbersOf(declared[store.Effect]()[1:]), "GivenOutcome": {5, 6, 7},
	}
	for name, want := range enums {
		var words []string
		var given []float64
		d.enum("#/components/schemas/"+name, &words, &given)
		if words != nil || want != nil {
			model := want
			if want == nil {
				model = enums[strings.TrimPrefix(name, "Given")]
			}
			if !slices.Equal(words, model) {
				t.Errorf("%s has the names %v, want %v", name, words, model)
			}
		}
		if !slices.Equal(given, numbers[name]) {
			t.Errorf("%s has the numbers %v, want %v", name, given, numbers[name])
		}
	}
	for name := range d.at("#/components/schemas") {
		_, word := enums[name]
		if s := d.at("#/components/schemas/" + name); !word && (s["enum"] != nil || s["anyOf"] != nil && s["type"] != "object") {
			t.Errorf("%s is an alphabet that is not held against a package", name)
		}
	}
	class := d.parameter("listTargets", "class")["schema"].(object)
	if got, want := slices.Sorted(slices.Values(texts(class["enum"]))), slices.Sorted(maps.Keys(classes)); !slices.Equal(got, want) {
		t.Errorf("class is one of %v, want %v", got, want)
	}
}

// enum collects the names and numbers of a schema, alternatives included.
func (d described) enum(pointer string, words *[]string, numbers *[]float64) {
	var collect func(s object)
	collect = func(s object) {
		s = d.follow(s)
		values, _ := s["enum"].([]any)
		for _, v := range values {
			switch v := v.(type) {
			case string:
				*words = append(*words, v)
			case float64:
				*numbers = append(*numbers, v)
			}
		}
		alternatives, _ := s["anyOf"].([]any)
		for _, a := range alternatives {
			collect(a.(object))
		}
	}
	collect(d.at(pointer))
}

// parameter returns a parameter of an operation.
func (d described) parameter(id, name string) object {
	d.Helper()
	for _, operations := range d.at("#/paths") {
		for _, op := range operations.(object) {
			if op := op.(object); op["operationId"] == id {
				for _, p := range op["parameters"].([]any) {
					if p := d.follow(p.(object)); p["name"] == name {
						return p
					}
				}
			}
		}
	}
	d.Fatalf("%s has no parameter %s", id, name)
	return nil
}

// The reasons of the document are those of the package, each at the statuses that it has.
func TestDocumentHasTheReasons(t *testing.T) {
	d := readDocument(t)
	var names []string
	var none []float64
	d.enum("#/components/schemas/Problem/properties/reason", &names, &none)
	slices.Sort(names)
	if want := slices.Sorted(maps.Keys(problems)); !slices.Equal(names, want) {
		t.Errorf("the reasons are %v, want %v", names, want)
	}
	used := map[string]bool{"no_such_route": true, "method_not_allowed": true} // at paths that are not described
	for path, operations := range d.at("#/paths") {
		for method, op := range operations.(object) {
			for status, answer := range op.(object)["responses"].(object) {
				content, _ := d.follow(answer.(object))["content"].(object)
				problem, ok := content["application/problem+json"].(object)
				if !ok {
					continue
				}
				parts := problem["schema"].(object)["allOf"].([]any)
				for _, reason := range texts(parts[1].(object)["properties"].(object)["reason"].(object)["enum"]) {
					used[reason] = true
					if want := fmt.Sprint(problems[reason].status); status != want && (status != "412" || reason != "stale") {
						t.Errorf("%s %s: %s comes with %s, want %s", method, path, reason, status, want)
					}
				}
			}
		}
	}
	if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, names) {
		t.Errorf("the reasons in answers are %v, want %v", got, names)
	}
}

// Every reference in the document has a target, and every component has a reference.
func TestDocumentIsWhole(t *testing.T) {
	d := readDocument(t)
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`"\$ref": ?"([^"]*)"`).FindAllStringSubmatch(string(OpenAPI()), -1) {
		used[m[1]] = true
		d.at(m[1])
	}
	for kind, all := range d.at("#/components") {
		for name := range all.(object) {
			if pointer := "#/components/" + kind + "/" + name; !used[pointer] {
				t.Errorf("nothing refers to %s", pointer)
			}
		}
	}
}

// A step on the wire has all fields of a stored one.
func TestStepHasEveryField(t *testing.T) {
	var want, got []string
	for _, f := range jsonFields(reflect.TypeFor[store.Step]()) {
		want = append(want, strings.Replace(f.name, "timeout_ns", "timeout_ms", 1))
	}
	for _, f := range jsonFields(reflect.TypeFor[wireStep]()) {
		got = append(got, f.name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("a step has %v, want %v", got, want)
	}
	s := store.Step{
		ID: 1, Type: 3, Name: "n", IgnoreErrors: true, OnTimeout: 1, Timeout: 1, Confirmers: step.NamesOf([]string{"ann"}), Payload: "p",
		Total: 1, State: 7, StopBefore: true, Attempt: 1, Run: store.Run{Full: 1, First: 1, End: 1}, Succeeded: 1, Unfinished: 1,
		Started: 1, Finished: 1, Deadline: 1, Expires: 1, Due: 1, Gate: store.Gate{Reason: 1, Then: 1, Until: 1},
		Batch: 1, Before: 1, Accepted: 1, Automatic: 1, Mendable: true, Policy: &step.Policy{
			Delay: 1, Window: "w", TotalTimeout: 1, Tolerate: step.Tolerance{Count: 1, Percent: 1},
			Retry:   step.Retry{Attempts: 1, After: 1, Most: 1, Except: []step.Status{step.NonZeroExit}},
			Rolling: step.Rolling{Batches: "1", Between: step.Between{Delay: 1, Person: true}},
		},
	}
	const policy = `{"delay_ms":1,"window":"w","total_timeout_ms":1,"retry":{"attempts":1,"after_ms":1,"most_ms":1,"except":["non_zero_exit"]},` +
		`"rolling":{"batches":"1","between":{"delay_ms":1,"person":true}},"tolerate":{"count":1,"percent":1}}`
	if got, err := json.Marshal(policyOf(s.Policy)); err != nil || string(got) != policy {
		t.Errorf("the policy is\n     %s, %v\nwant %s", got, err, policy)
	}
	j := jobOf(&store.Job{Policy: &store.JobPolicy{StartAt: 1, Timeout: 1, Turn: store.Turn{Key: "k", Limit: 1}}})
	const jobPolicy = `{"start_at":1,"timeout_ms":1,"turn":{"key":"k","limit":1}}`
	if got, err := json.Marshal(j.Policy); err != nil || string(got) != jobPolicy {
		t.Errorf("the job's policy is\n     %s, %v\nwant %s", got, err, jobPolicy)
	}
	text, err := json.Marshal(wholeStep(&s))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for name, v := range fields {
		if v == nil || reflect.ValueOf(v).IsZero() {
			t.Errorf("%s did not arrive: %v", name, v)
		}
	}
	for d, ms := range map[time.Duration]int64{0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Hour: 3_600_000} {
		if got := milliseconds(d); got != ms {
			t.Errorf("%v is %d ms, want %d", d, got, ms)
		}
	}
}
