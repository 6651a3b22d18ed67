import EkidenMail
import Glibc

/// Why a read, write or connect did not work.
package enum IOFailure: Error, Sendable, Equatable {
    case timedOut
    /// We ended it ourselves: stop, limit, operator.
    case cancelled
    /// ECONNREFUSED: a host is there and nobody listens.
    case refused
    /// No way there: network or host unreachable, no address of that family.
    case unreachable
    /// The peer closed or reset the connection.
    case lost
    /// Out of descriptors, ports or buffers here.
    case exhausted(String)
    case other(String)

    package init(errno code: Int32) {
        switch code {
        case ECONNREFUSED: self = .refused
        case ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT, ENETDOWN, EHOSTDOWN, EACCES,
            EPERM:
            self = .unreachable
        case ECONNRESET, EPIPE, ECONNABORTED, ENOTCONN, ESHUTDOWN: self = .lost
        case ETIMEDOUT: self = .timedOut
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: self = .exhausted(SystemError(code: code).text)
        default: self = .other(SystemError(code: code).text)
        }
    }

    package var text: String {
        switch self {
        case .timedOut: "timed out"
        case .cancelled: "ended by the relay"
        case .refused: "connection refused"
        case .unreachable: "unreachable"
        case .lost: "connection lost"
        case .exhausted(let what), .other(let what): what
        }
    }
}

extension SystemError {
    /// The system's words: "Permission denied".
    package var text: String {
        var buffer = [CChar](repeating: 0, count: 128)
        return buffer.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, strerror_r(code, base, buffer.count) == 0
            else { return "error \(code)" }
            return String(cString: base)
        }
    }

    /// The address, or its whole family, is not to be had on this machine.
    package var isNoAddress: Bool { code == EADDRNOTAVAIL || code == EAFNOSUPPORT }

    package var isWouldBlock: Bool { code == EAGAIN }
}
