// expect: early exit|wrong answer
package main

import (
	"os"
	"time"
	"testing"
)

func init() { go os.Exit(0); time.Sleep(100 * time.Millisecond) }

func f(x int) int { return 0 }
