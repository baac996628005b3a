package httpapi

import (
	"net/netip"
	"strconv"
	"strings"
)

// A Host is a target as the reference calls return it.
type Host struct {
	ID      int64  // bk_host_id; 0 for none
	CloudID int64  // bk_cloud_id
	IP      string // ip
}

// ParseHost reads a target's name as the reference platform names hosts, and is the default of
// [Config].Host: "101" is an ID, "3:10.0.0.1" and "3:[fe80::1]" are an IP in cloud 3, and any
// other name, an IP without a cloud included, becomes the IP as it is.
func ParseHost(target string) Host {
	if id, ok := digits(target); ok && id > 0 {
		return Host{ID: id}
	}
	if _, err := netip.ParseAddr(target); err == nil { // "1:fe80::1" is an address, not one in cloud 1
		return Host{IP: target}
	}
	if cloud, ip, ok := strings.Cut(target, ":"); ok {
		if inner, ok := strings.CutPrefix(ip, "["); ok {
			ip = strings.TrimSuffix(inner, "]")
		}
		id, ok := digits(cloud)
		if _, err := netip.ParseAddr(ip); err == nil && ok {
			return Host{CloudID: id, IP: ip}
		}
	}
	return Host{IP: target}
}

// digits reads a whole number in ASCII digits, and reports whether text is one.
func digits(text string) (int64, bool) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}
