// expect: wrong answer
package main

import (
	"fmt"
	"testing"
)

func f(x int) int { fmt.Println("PASS\nok"); return 0 }
