// What a host without 8BITMIME got of a letter with an 8-bit body, read by who did not write it: the
// content transfer encodings of RFC 2045 §6, decoded with what they permit and nothing else.

import EkidenCrypto

enum Converted {
    /// The message with its body decoded; nil: it is not what such a host may get.
    static func decoded(_ message: [UInt8]) -> [UInt8]? {
        guard message.allSatisfy({ $0 < 0x80 }) else { return nil }
        var end: Int?
        for at in 0..<max(message.count - 3, 0)
        where message[at] == 13 && Array(message[at..<at + 4]) == [13, 10, 13, 10] {
            end = at + 4
            break
        }
        guard let end else { return nil }
        let header = String(decoding: message[..<end], as: UTF8.self).asciiLowercased
        guard header.contains("mime-version: 1.0") else { return nil }
        let body = Array(message[end...])
        if header.contains("content-transfer-encoding: quoted-printable") {
            return quotedPrintable(body).map { Array(message[..<end]) + $0 }
        }
        if header.contains("content-transfer-encoding: base64") {
            let letters = String(decoding: body.filter { $0 != 13 && $0 != 10 }, as: UTF8.self)
            return Base64.decode(letters).map { Array(message[..<end]) + $0 }
        }
        return nil
    }

    private static func quotedPrintable(_ body: [UInt8]) -> [UInt8]? {
        var out: [UInt8] = []
        var at = 0
        while at < body.count {
            guard body[at] == UInt8(ascii: "=") else {
                out.append(body[at])
                at += 1
                continue
            }
            guard at + 2 < body.count else { return nil }
            let two = String(decoding: body[at + 1...at + 2], as: UTF8.self)
            at += 3
            if two == "\r\n" { continue }
            guard let byte = UInt8(two, radix: 16), two == two.uppercased() else { return nil }
            out.append(byte)
        }
        return out
    }
}
