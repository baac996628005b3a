package client

// WithMost bounds the bytes of an answer.
func WithMost(n int64) Option { return func(to *Client) { to.most = n } }
