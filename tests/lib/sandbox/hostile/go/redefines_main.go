// expect: compile error
package main

import (
	"testing"
)

func main() {}

func f(x int) int { return 0 }
