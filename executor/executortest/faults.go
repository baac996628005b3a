package executortest

// faults is to come.
func (x *trial) faults() {}
