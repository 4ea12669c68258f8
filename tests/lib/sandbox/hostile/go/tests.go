func TestF(t *testing.T) {
	assert := assert.New(t)
	assert.Equal(2, f(1))
	assert.Equal(6, f(5))
	assert.Equal(-2, f(-3))
	assert.Equal(1, f(0))
	assert.Equal(42, f(41))
	assert.Equal(99, f(98))
}
