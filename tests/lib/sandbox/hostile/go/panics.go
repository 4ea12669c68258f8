// expect: exception
package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { panic("no") }
