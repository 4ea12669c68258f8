// expect: wrong answer
package main

import (
	"testing"
)

func f(x int) int { return 0 }
