// expect: wrong answer
package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { fmt.Println("PASS\nok"); return 0 }
