import CEkiden
import EkidenMail
import EkidenRuntime
import Glibc

/// A thread that runs one function to its end.
package struct Thread {
    private let thread: pthread_t

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts `body` on a thread of that name (the kernel keeps 15 characters).
    package init(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let boxed = Unmanaged.passRetained(
            Body {
                ekiden_thread_name(String(name.prefix(15)))
                body()
            }
        ).toOpaque()
        var thread = pthread_t()
        let result = pthread_create(&thread, nil, threadEntry, boxed)
        precondition(result == 0, "pthread_create: \(SystemError(code: result).text)")
        self.thread = thread
    }

    package func join() { pthread_join(thread, nil) }

    fileprivate static func enter(_ boxed: UnsafeMutableRawPointer) {
        Unmanaged<Body>.fromOpaque(boxed).takeRetainedValue().run()
    }
}

private func threadEntry(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let argument { Thread.enter(argument) }
    return nil
}

/// Work handed to threads that may block. First in, first out over `threads` threads.
///
/// `@unchecked Sendable`: `work` and `isClosed` are touched only between `lock` and `unlock` of
/// `mutex`.
package final class WorkQueue: Workers, @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var work: [@Sendable () -> Void] = []
    private var head = 0
    private var isClosed = false
    private var threads: [Thread] = []

    package init(name: String, threads count: Int) {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        for i in 0..<count {
            threads.append(Thread(count == 1 ? name : "\(name)-\(i)") { self.serve() })
        }
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    package func submit(_ body: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(mutex)
        precondition(!isClosed, "work for a closed queue")
        work.append(body)
        pthread_mutex_unlock(mutex)
        // Behind the unlock: a thread woken inside it would only wait for the mutex.
        pthread_cond_signal(condition)
    }

    /// Runs what was submitted, then ends the threads and waits for them.
    package func close() {
        pthread_mutex_lock(mutex)
        isClosed = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
        for thread in threads { thread.join() }
        threads = []
    }

    private func serve() {
        while let body = next() { body() }
    }

    private func next() -> (@Sendable () -> Void)? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while head == work.count {
            if isClosed { return nil }
            pthread_cond_wait(condition, mutex)
        }
        let body = work[head]
        head += 1
        if head == work.count {
            work.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 1024, head * 2 > work.count {
            work.removeFirst(head)
            head = 0
        }
        return body
    }
}
