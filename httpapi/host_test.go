package httpapi_test

import (
	"testing"

	"github.com/stepgate/stepgate/httpapi"
)

func TestParseHost(t *testing.T) {
	for name, want := range map[string]httpapi.Host{
		"101":                   {ID: 101},
		"0":                     {IP: "0"}, // no host has it
		"9223372036854775808":   {IP: "9223372036854775808"},
		"10.0.0.1":              {IP: "10.0.0.1"},
		"3:10.0.0.1":            {CloudID: 3, IP: "10.0.0.1"},
		"0:10.0.0.1":            {IP: "10.0.0.1"},
		"fe80::1":               {IP: "fe80::1"},
		"1:fe80::1":             {IP: "1:fe80::1"}, // an address by itself
		"1:[fe80::1]":           {CloudID: 1, IP: "fe80::1"},
		"65536:fe80::1":         {CloudID: 65536, IP: "fe80::1"},
		"web-1":                 {IP: "web-1"},
		"web-1:80":              {IP: "web-1:80"},
		"3:web-1":               {IP: "3:web-1"},
		":10.0.0.1":             {IP: ":10.0.0.1"},
		"x:10.0.0.1":            {IP: "x:10.0.0.1"},
		"+3:10.0.0.1":           {IP: "+3:10.0.0.1"},
		"":                      {},
		"99999999999999999999:": {IP: "99999999999999999999:"},
	} {
		if got := httpapi.ParseHost(name); got != want {
			t.Errorf("ParseHost(%q) = %+v, want %+v", name, got, want)
		}
	}
}
