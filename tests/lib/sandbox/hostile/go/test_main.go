// expect: wrong answer
package main

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(0) }

func f(x int) int { return 0 }
