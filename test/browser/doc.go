// Package browser uses the console as people do: its tests build examples/console, run it, and use it
// with mouse and keyboard in a real headless Chromium.
//
// It is a module of its own so that programs that import the library do not download a browser's
// protocol. Where there is no Chromium the tests are skipped, and with CI=true they fail.
package browser
