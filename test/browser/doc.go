// Package browser uses the console as people do: its tests build examples/console, run it, and
// drive a real headless Chromium over it, with mouse and keyboard.
//
// It is a module of its own so that programs that import the library do not download a browser's
// protocol. Where there is no Chromium the tests are skipped, and with CI=true they fail.
package browser
