// The machine's own table of hosts: hosts(5), `/etc/hosts`. Read for host names that the
// administrator wrote into routes; a stranger's MX record never gets to look into it.

import EkidenMail

/// Names and their addresses, in the order of the file.
package struct HostTable: Sendable, Equatable {
    private var addressesByName: [String: [HostAddress]] = [:]

    package static let empty = HostTable(text: [])

    /// Reads the bytes of a hosts file: an address, then names, `#` begins a comment. Lines that
    /// don't fit, and addresses with a zone (`fe80::1%eth0`), are passed over, as the C library
    /// does. Linear in the bytes; the caller bounds them.
    package init(text: [UInt8]) {
        for line in text.split(whereSeparator: { $0 == 0x0a || $0 == 0x0d }) {
            let content = line.prefix { $0 != UInt8(ascii: "#") }
            let words = content.split { $0 == 0x20 || $0 == 0x09 }
            guard let first = words.first,
                let address = HostAddress(String(decoding: first, as: UTF8.self))
            else { continue }
            for word in words.dropFirst() {
                let name = HostName.folded(String(decoding: word, as: UTF8.self))
                guard HostName.isValid(name) else { continue }
                var addresses = addressesByName[name] ?? []
                if !addresses.contains(address) { addresses.append(address) }
                addressesByName[name] = addresses
            }
        }
    }

    /// Addresses of a name in the order of the file; nil when the table does not know it.
    package func addresses(of name: String) -> [HostAddress]? {
        addressesByName[HostName.folded(name)]
    }
}
