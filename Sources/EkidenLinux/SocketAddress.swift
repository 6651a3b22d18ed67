import EkidenMail
import Glibc

/// An endpoint in the kernel's form.
struct SocketAddressBytes {
    private var storage = sockaddr_storage()
    private var length: socklen_t

    init(_ endpoint: Endpoint) {
        switch endpoint.address {
        case .v4(let bits):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = endpoint.port.bigEndian
            address.sin_addr.s_addr = bits.bigEndian
            length = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutableBytes(of: &storage) { to in
                withUnsafeBytes(of: address) { to.copyMemory(from: $0) }
            }
        case .v6(let high, let low):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = endpoint.port.bigEndian
            withUnsafeMutableBytes(of: &address.sin6_addr) {
                $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            length = socklen_t(MemoryLayout<sockaddr_in6>.size)
            withUnsafeMutableBytes(of: &storage) { to in
                withUnsafeBytes(of: address) { to.copyMemory(from: $0) }
            }
        }
    }

    func with<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    /// nil for families other than IPv4 and IPv6.
    static func endpoint(_ storage: sockaddr_storage) -> Endpoint? {
        withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let address = bytes.loadUnaligned(as: sockaddr_in.self)
                return Endpoint(
                    .v4(UInt32(bigEndian: address.sin_addr.s_addr)),
                    UInt16(bigEndian: address.sin_port)
                )
            case AF_INET6:
                let address = bytes.loadUnaligned(as: sockaddr_in6.self)
                return withUnsafeBytes(of: address.sin6_addr) {
                    Endpoint(
                        .ipv6(
                            high: UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                            low: UInt64(
                                bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                            )
                        ),
                        UInt16(bigEndian: address.sin6_port)
                    )
                }
            default: return nil
            }
        }
    }
}

enum SocketOptions {
    static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        _ = setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Commands and dots go out at once (no Nagle), and dead peers are found in the end.
    static func setForStream(_ descriptor: Int32) {
        set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
    }
}
