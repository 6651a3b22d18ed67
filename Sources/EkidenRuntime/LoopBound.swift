/// A value that lives on one loop and may be named, but not touched, from elsewhere.
///
/// `@unchecked Sendable`: the value is reached only through `value`, which traps off its loop, so
/// it is never used from two threads.
package final class LoopBound<Value>: @unchecked Sendable {
    package let loop: Loop
    private let bound: Value

    package init(_ value: Value, on loop: Loop) {
        self.loop = loop
        bound = value
    }

    package var value: Value {
        loop.preconditionCurrent()
        return bound
    }
}
