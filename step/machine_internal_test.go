package step

import "testing"

// Only a fault of this package or of looplab/fsm can make the two machines differ, so
// the test breaks the compiled table by hand.
func TestAMachineThatDiffersFromLooplabIsRefused(t *testing.T) {
	m, err := NewMachine("m", []Transition{{2, StatesOf(Pending), Failed, End}})
	if err != nil {
		t.Fatal(err)
	}
	m.next[2][Pending].to = Abnormal
	if err, want := m.checkAgainstFSM(), `machine m: retry_failed in pending leads to "abnormal" here and to "failed" in looplab/fsm`; err == nil || err.Error() != want {
		t.Errorf("checkAgainstFSM() = %v, want %s", err, want)
	}
	m.next[2][Pending].to, m.next[2][Running].to = Failed, Failed
	if err, want := m.checkAgainstFSM(), `machine m: retry_failed in running leads to "failed" here and to "" in looplab/fsm`; err == nil || err.Error() != want {
		t.Errorf("checkAgainstFSM() = %v, want %s", err, want)
	}
	m, err = NewMachine("m", []Transition{{65, StatesOf(Pending), Waiting, Enter}, {74, StatesOf(Gated), Waiting, Open}, {6, StatesOf(Waiting), Succeeded, Vote}})
	if err != nil {
		t.Fatal(err)
	}
	m.next[6][Waiting].do = Pass
	if err, want := m.checkAgainstFSM(), `machine m: confirm in waiting lands in "" here and in "waiting" in looplab/fsm`; err == nil || err.Error() != want {
		t.Errorf("checkAgainstFSM() = %v, want %s", err, want)
	}
}
