// Random numbers for tests: small, seeded, the same in every run and on every machine.

/// xorshift64* (Vigna 2016).
package struct TestRandom {
    private var state: UInt64

    package init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    package mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }

    /// 0..<bound
    package mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % bound }

    package mutating func pick<Value>(_ choices: [Value]) -> Value {
        choices[below(choices.count)]
    }
}
