package step

import "testing"

// Only a fault of this package or of looplab/fsm can make the two machines differ, so
// the test breaks the compiled table by hand.
func TestAMachineThatDiffersFromLooplabIsRefused(t *testing.T) {
	m, err := NewMachine("m", []Transition{{1, "begin", StatesOf(Pending), Failed}})
	if err != nil {
		t.Fatal(err)
	}
	m.next[1][Pending] = Abnormal
	if err, want := m.checkAgainstFSM(), `machine m: begin in pending leads to "abnormal" here and to "failed" in looplab/fsm`; err == nil || err.Error() != want {
		t.Errorf("checkAgainstFSM() = %v, want %s", err, want)
	}
	m.next[1][Pending], m.next[1][Running] = Failed, Failed
	if err, want := m.checkAgainstFSM(), `machine m: begin in running leads to "failed" here and to "" in looplab/fsm`; err == nil || err.Error() != want {
		t.Errorf("checkAgainstFSM() = %v, want %s", err, want)
	}
}
