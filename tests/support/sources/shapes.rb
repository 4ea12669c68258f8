class Counter
  def initialize
    @counts = Hash.new(0)
  end

  # Counts the words of a text,
  # whatever their case.
  def count_words(text)
    text.split.each { |word| @counts[word.downcase] += 1 }
    @counts
  end

  def self.empty?(counter)
    total = counter.sum
    total.zero?
  end
end
