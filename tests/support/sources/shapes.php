<?php
namespace Shapes;

class Basket {
    /**
     * Sum of the prices of all items.
     *
     * @return float
     */
    public function total(array $items): float {
        $sum = 0.0;
        foreach ($items as $item) {
            $sum += $item['price'] * $item['count'];
        }
        return $sum;
    }

    public function __construct(private string $name) {
        $this->name = trim($name);
    }

    abstract protected function nothing(): void;
}

function clamp_value($value, $low, $high) {
    return max($low, min($high, $value));
}
