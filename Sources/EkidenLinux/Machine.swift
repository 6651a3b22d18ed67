// Small questions to the machine: processors, descriptors, addresses; and a semaphore for the one
// thread that waits for the rest.

import EkidenMail
import Glibc

package enum Processors {
    /// Processors this process may run on; at least 1.
    package static var online: Int { max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1) }
}

package enum DescriptorLimit {
    /// Raises the limit of open files as far as it may be, up to `wanted`; returns what it is now.
    @discardableResult
    package static func raise(to wanted: Int) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        if limit.rlim_cur < UInt(wanted) {
            limit.rlim_cur = min(UInt(wanted), limit.rlim_max)
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        return Int(clamping: limit.rlim_cur)
    }
}

package enum LocalZone {
    /// What a clock shows here at a time (`localtime_r`, which knows /etc/localtime and TZ).
    package static func time(_ wall: WallTime) -> WallTime {
        var seconds = time_t(wall.seconds)
        var fields = tm()
        guard localtime_r(&seconds, &fields) != nil else { return wall }
        return wall + .seconds(fields.tm_gmtoff)
    }
}

package enum LocalAddresses {
    /// The addresses of this machine's interfaces, and the loopback networks.
    package static func all() -> [NetworkPrefix] {
        var found = [
            NetworkPrefix(.v4(0x7f00_0000), length: 8),
            NetworkPrefix(.loopback6, length: 128),
        ].compactMap { $0 }
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return found }
        defer { freeifaddrs(first) }
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr else { continue }
            var storage = sockaddr_storage()
            let length: Int
            switch Int32(address.pointee.sa_family) {
            case AF_INET: length = MemoryLayout<sockaddr_in>.size
            case AF_INET6: length = MemoryLayout<sockaddr_in6>.size
            default: continue
            }
            withUnsafeMutableBytes(of: &storage) {
                $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: length))
            }
            if let endpoint = SocketAddressBytes.endpoint(storage),
                let prefix = NetworkPrefix(
                    endpoint.address,
                    length: endpoint.address.bitWidth
                )
            {
                found.append(prefix)
            }
        }
        return found
    }
}

/// Counts signals; `wait` takes one, waiting for it if need be. Never on a loop's thread.
///
/// `@unchecked Sendable`: POSIX semaphores may be used from any thread, and the memory of this one
/// never moves.
package final class Semaphore: @unchecked Sendable {
    private let semaphore: UnsafeMutablePointer<sem_t>

    package init() {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    package func signal() { sem_post(semaphore) }

    package func wait() {
        while sem_wait(semaphore) != 0 {}
    }
}
