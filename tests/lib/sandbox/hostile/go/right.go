// expect: passed
package main

import (
	"testing"
)

func f(x int) int { return x + 1 }
