package enginetest

// Alone returns w without the model.
func (w Walk) Alone() Walk {
	w.alone = true
	return w
}
