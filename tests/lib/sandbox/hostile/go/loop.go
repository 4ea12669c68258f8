// expect: timed out
package main

import (
	"testing"
)

func f(x int) int { for { x++ } }
