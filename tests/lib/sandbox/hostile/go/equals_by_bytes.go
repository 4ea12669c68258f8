// expect: wrong answer
package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

type number int

func f(x int) number { return number(x + 1) }
