// Users, and what tells a certificate: its fingerprint, a name in it.

extension ValueType<String> {
    /// As the users file has names: docs/USERS.md.
    static let userName = ValueType<String>(
        "a user's name",
        range: "1 to 320 bytes without spaces and colons",
        decode: { node throws(Misfit) in
            let text = try node.text("a user's name", like: "printer-3")
            let isFit = text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && $0 != 0x3a }
            guard isFit, (1...320).contains(text.utf8.count), !text.hasPrefix("#") else {
                throw Misfit(
                    "is a name of 1 to 320 bytes without spaces, colons and a # in front, "
                        + "not \(quoted(text))"
                )
            }
            return text
        },
        encode: { quoted($0) }
    )

    /// SHA-256, with or without colons between the bytes; kept as 64 digits in lower case.
    static let fingerprint = ValueType<String>(
        "a SHA-256 fingerprint",
        range: "64 hexadecimal digits, colons between them or not",
        decode: { node throws(Misfit) in
            let text = try node.text("a SHA-256 fingerprint", like: "3f:a5:…")
            let digits = text.utf8.filter { $0 != 0x3a }.map { $0 | 0x20 }
            let isHexadecimal = digits.allSatisfy { $0.isDigit || (0x61...0x66).contains($0) }
            guard digits.count == 64, isHexadecimal else {
                throw Misfit(
                    "is the SHA-256 of a certificate, 64 hexadecimal digits, not \(quoted(text)); "
                        + "`openssl x509 -noout -fingerprint -sha256 -in FILE` prints it"
                )
            }
            return String(decoding: digits, as: UTF8.self)
        },
        encode: { quoted($0) }
    )

    /// A DNS name, one with a first label of `*` (RFC 6125 §6.4.3), or a mail address.
    static let certificateName = ValueType<String>(
        "a name in a certificate",
        range: "a host name, *.domain or a mail address",
        decode: { node throws(Misfit) in
            let text = try node.text("a name in a certificate", like: "printer-3.example.org")
            let name = text.hasPrefix("*.") ? String(text.dropFirst(2)) : text
            let host = name.split(separator: "@", omittingEmptySubsequences: false)
            let isMailbox = host.count == 2 && !host[0].isEmpty && name.count == text.count
            guard isMailbox || host.count == 1,
                HostName.complaint(host.last.map { String($0) } ?? "") == nil
            else {
                throw Misfit("is a host name, *.domain or a mail address, not \(quoted(text))")
            }
            return text.asciiLowercased
        },
        encode: { quoted($0) }
    )
}
