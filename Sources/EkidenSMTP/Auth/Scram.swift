// The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: the client's first message, our
// challenge, and its final message with the proof. Called by `SASLExchange`. Messages are ASCII
// attributes parted by commas, in a fixed order; names may be UTF-8.
// RFC 5802 §5 to §7, RFC 7677; channel bindings RFC 5056, 5929 §4, 9266.

import EkidenCrypto

enum ScramProblem: Error, Equatable {
    case malformed(String)
    case refused(String)
}

/// client-first-message (RFC 5802 §7).
struct ScramFirst: Sendable, Equatable {
    let user: String
    let clientNonce: String
    /// The header with the channel binding behind it: what the final message must repeat.
    let bindingInput: [UInt8]
    /// client-first-message-bare, for the message both sides sign.
    let bare: String

    /// Longer ones are refused: a name, a nonce and an identity are no more.
    private static let byteCountMax = 2048

    /// - Parameters:
    ///   - bindings: those of this channel with SCRAM-SHA-256-PLUS; nil without PLUS.
    ///   - plusIsOffered: a client that could bind and thinks we can't was lied to (RFC 5802 §6).
    init(
        _ message: [UInt8],
        bindings: [ChannelBinding]?,
        plusIsOffered: Bool
    ) throws(ScramProblem) {
        guard message.count <= Self.byteCountMax,
            let text = String(validating: message, as: UTF8.self)
        else { throw .malformed("the first message is too long or no UTF-8") }
        let parts = text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            .map { String(Substring($0)) }
        guard parts.count >= 4 else { throw .malformed("the first message lacks a part") }
        let binding = try Self.binding(parts[0], bindings, plusIsOffered)
        // RFC 5802 §5.1: an extension that must be understood would stand before the name.
        guard let name = Self.value(of: "n", in: parts[2]), let decoded = Self.saslName(name),
            let user = LoginName.prepare(Array(decoded.utf8))
        else { throw .malformed("that is no user name") }
        guard let nonce = Self.value(of: "r", in: parts[3]), Self.isNonce(nonce) else {
            throw .malformed("the nonce is missing or malformed")
        }
        if !parts[1].isEmpty {
            guard let identity = Self.value(of: "a", in: parts[1]).flatMap(Self.saslName) else {
                throw .malformed("the identity to act as is malformed")
            }
            if identity.asciiLowercased != user.asciiLowercased {
                throw .refused("nobody may act for somebody else here")
            }
        }
        self.user = user
        clientNonce = nonce
        bindingInput = Array((parts[0] + "," + parts[1] + ",").utf8) + binding
        bare = parts[2...].joined(separator: ",")
    }

    /// gs2-cbind-flag: the bytes that bind.
    private static func binding(
        _ flag: String,
        _ bindings: [ChannelBinding]?,
        _ plusIsOffered: Bool
    ) throws(ScramProblem) -> [UInt8] {
        switch flag {
        case "n":
            if bindings != nil { throw .refused("SCRAM-SHA-256-PLUS needs a channel binding") }
        case "y":
            // RFC 5802 §6: the list of mechanisms was changed on its way.
            if plusIsOffered || bindings != nil {
                throw .refused("channel binding is offered here")
            }
        default:
            guard let type = value(of: "p", in: flag) else {
                throw .malformed("the channel binding flag is malformed")
            }
            guard let bindings else { throw .refused("channel binding needs SCRAM-SHA-256-PLUS") }
            guard let binding = bindings.first(where: { $0.type == type }) else {
                throw .refused("that channel binding is not supported")
            }
            return binding.bytes
        }
        return []
    }

    /// `x=value`, nothing else.
    fileprivate static func value(of attribute: String, in part: String) -> String? {
        part.hasPrefix(attribute + "=") ? String(part.dropFirst(attribute.count + 1)) : nil
    }

    /// RFC 5802 §5.1: `=2C` is a comma, `=3D` an equals sign, and no other `=` may stand.
    private static func saslName(_ text: String) -> String? {
        let pieces = text.utf8.split(
            separator: UInt8(ascii: "="),
            omittingEmptySubsequences: false
        ).map { String(Substring($0)) }
        var result = pieces[0]
        for piece in pieces.dropFirst() {
            if piece.hasPrefix("2C") {
                result += ","
            } else if piece.hasPrefix("3D") {
                result += "="
            } else {
                return nil
            }
            result += piece.dropFirst(2)
        }
        return result.isEmpty ? nil : result
    }

    /// RFC 5802 §7: printable ASCII without comma.
    private static func isNonce(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x2c }
    }
}

/// What the server knows once it has said its challenge.
struct ScramServer: Sendable, Equatable {
    let first: ScramFirst
    private let keys: ScramKeys
    private let nonce: String
    /// server-first-message.
    let challenge: String

    init(first: ScramFirst, keys: ScramKeys, nonce: String) {
        self.first = first
        self.keys = keys
        self.nonce = first.clientNonce + nonce
        challenge = "r=\(self.nonce),s=\(Base64.encode(keys.salt)),i=\(keys.iterations)"
    }

    enum Finish: Equatable {
        case malformed(String)
        /// `signature` is the server's own proof.
        case proof(isValid: Bool, signature: [UInt8])
    }

    /// client-final-message: `c=` binding, `r=` nonce, extensions, `p=` proof.
    func finish(_ message: [UInt8]) -> Finish {
        guard message.count <= 4096, let text = String(validating: message, as: UTF8.self),
            let comma = text.utf8.lastIndex(of: UInt8(ascii: ","))
        else { return .malformed("the final message is malformed") }
        let withoutProof = String(text[..<comma])
        let parts = withoutProof.utf8
            .split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            .map { String(Substring($0)) }
        guard parts.count >= 2,
            let binding = ScramFirst.value(of: "c", in: parts[0]).flatMap({ Base64.decode($0) }),
            let nonce = ScramFirst.value(of: "r", in: parts[1]),
            let proof = ScramFirst.value(
                of: "p",
                in: String(text[text.utf8.index(after: comma)...])
            )
            .flatMap({ Base64.decode($0) })
        else { return .malformed("the final message is malformed") }
        let authMessage = Array((first.bare + "," + challenge + "," + withoutProof).utf8)
        // All three are looked at, whatever the first one says.
        let isBound = isEqualInConstantTime(binding, first.bindingInput)
        let isFresh = isEqualInConstantTime(Array(nonce.utf8), Array(self.nonce.utf8))
        let isProven = keys.accept(proof: proof, authMessage: authMessage)
        return .proof(
            isValid: isBound && isFresh && isProven,
            signature: keys.signature(authMessage: authMessage)
        )
    }
}
