// expect: exception|crash|out of memory|timed out
package main

import (
	"testing"
)

func f(x int) int { return f(x+1) + 1 }
