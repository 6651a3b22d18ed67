// A name server for tests: real sockets on a free port of the loopback address, a thread that
// serves them, and a script that says what comes back for each packet.

import EkidenMail
import Glibc
import Synchronization

@testable import EkidenLinux

final class TestNameServer: Sendable {
    enum Transport: Sendable { case udp, tcp }

    /// The packets to send back for a question, in order; none is silence.
    typealias Script = @Sendable (_ question: [UInt8], Transport) -> [[UInt8]]

    let endpoint: Endpoint
    private let udp: Int32
    private let tcp: Int32
    private let script: Script
    private let asked = Mutex<[(Transport, [UInt8])]>([])
    private let mustStop = Atomic<Bool>(false)
    private let thread = Mutex<Thread?>(nil)

    /// Questions so far, UDP and TCP.
    var questions: [(Transport, [UInt8])] { asked.withLock { $0 } }

    init(_ address: HostAddress = .loopback4, _ script: @escaping Script) {
        self.script = script
        while true {
            let udp = Self.socket(Int32(SOCK_DGRAM.rawValue), Endpoint(address, 0))
            let endpoint = Self.endpoint(of: udp)
            let tcp = Self.socket(Int32(SOCK_STREAM.rawValue), endpoint)
            if tcp >= 0 {
                (self.udp, self.tcp, self.endpoint) = (udp, tcp, endpoint)
                break
            }
            close(udp)
        }
        listen(tcp, 8)
        let server = Thread("test-names") { self.serve() }
        thread.withLock { $0 = server }
    }

    func stop() {
        mustStop.store(true, ordering: .relaxed)
        thread.withLock { $0 }?.join()
        close(udp)
        close(tcp)
    }

    private static func socket(_ type: Int32, _ endpoint: Endpoint) -> Int32 {
        let descriptor = Glibc.socket(endpoint.address.isV4 ? AF_INET : AF_INET6, type, 0)
        precondition(descriptor >= 0)
        if SocketAddressBytes(endpoint).with({ bind(descriptor, $0, $1) }) == 0 {
            return descriptor
        }
        close(descriptor)
        return -1
    }

    private static func endpoint(of descriptor: Int32) -> Endpoint {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutablePointer(to: &storage) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &length)
            }
        }
        guard let endpoint = SocketAddressBytes.endpoint(storage) else {
            preconditionFailure("a socket without an address")
        }
        return endpoint
    }

    private func serve() {
        while !mustStop.load(ordering: .relaxed) {
            var polled = [
                pollfd(fd: udp, events: Int16(POLLIN), revents: 0),
                pollfd(fd: tcp, events: Int16(POLLIN), revents: 0),
            ]
            poll(&polled, 2, 20)
            if polled[0].revents != 0 { serveDatagram() }
            if polled[1].revents != 0 { serveStream() }
        }
    }

    private func serveDatagram() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        var peer = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let n = withUnsafeMutablePointer(to: &peer) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(udp, &buffer, buffer.count, 0, $0, &length)
            }
        }
        guard n > 0, let from = SocketAddressBytes.endpoint(peer) else { return }
        let question = Array(buffer[..<n])
        asked.withLock { $0.append((.udp, question)) }
        for reply in script(question, .udp) {
            _ = SocketAddressBytes(from).with { sendto(udp, reply, reply.count, 0, $0, $1) }
        }
    }

    /// One question a connection; the reply goes out in two parts to be put together again.
    private func serveStream() {
        let stream = accept(tcp, nil, nil)
        guard stream >= 0 else { return }
        defer { close(stream) }
        var head: [UInt8] = [0, 0]
        guard recv(stream, &head, 2, Int32(MSG_WAITALL)) == 2 else { return }
        var question = [UInt8](repeating: 0, count: Int(head[0]) << 8 | Int(head[1]))
        let n = recv(stream, &question, question.count, Int32(MSG_WAITALL))
        guard n == question.count else { return }
        asked.withLock { $0.append((.tcp, question)) }
        for reply in script(question, .tcp) {
            let framed = [UInt8(reply.count >> 8), UInt8(reply.count & 0xff)] + reply
            let flags = Int32(MSG_NOSIGNAL)
            _ = send(stream, Array(framed[..<1]), 1, flags)
            usleep(2000)
            let rest = Array(framed[1...])
            _ = send(stream, rest, rest.count, flags)
        }
    }

    // MARK: Replies

    /// The reply to a question with that response code and `count` A records of the name asked.
    static func reply(
        to question: [UInt8],
        code: UInt8 = 0,
        isTruncated: Bool = false,
        records count: Int = 1
    ) -> [UInt8] {
        let end = questionEnd(question)
        var reply = Array(question[..<end])
        reply[2] = isTruncated ? 0x83 : 0x81
        reply[3] = 0x80 | code
        (reply[6], reply[7]) = (UInt8(count >> 8), UInt8(count & 0xff))
        (reply[10], reply[11]) = (0, 0)
        for i in 0..<count {
            reply += [
                0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, UInt8(i >> 8), UInt8(i & 0xff),
            ]
        }
        return reply
    }

    static func questionEnd(_ packet: [UInt8]) -> Int {
        var at = 12
        while packet[at] != 0 { at += Int(packet[at]) + 1 }
        return at + 5
    }
}
