// A question as it goes to a name server, and the judgement whether bytes that came back answer it.
// RFC 1035 §4.1, RFC 5452 §9.1 (what has to match), RFC 6891 §6 (EDNS). Pure.

import CResolv
import EkidenRuntime

struct QuestionPacket: Sendable {
    /// What came back answers the question, and how.
    enum Verdict: Equatable {
        /// NOERROR or NXDOMAIN, whole.
        case answer
        /// The whole answer is to be had by TCP (RFC 2181 §9).
        case truncated
        /// This server does not know EDNS (RFC 6891 §7); it may answer without.
        case withoutExtension
        /// SERVFAIL, REFUSED and the like: this server won't say, another may.
        case failure
    }

    /// Offered for UDP: fits one packet on any path of today (the size DNS Flag Day 2020 settled
    /// on), so that no answer arrives in fragments.
    static let payloadBytes: UInt16 = 1232

    let bytes: [UInt8]
    private let questionEnd: Int
    private let hasExtension: Bool

    /// nil when the name can't be asked for: an empty or over-long label, more than 255 bytes in
    /// all, no ASCII.
    init?(_ question: NameQuestion, id: UInt16, withExtension: Bool) {
        // A backslash is an escape to the library; no name that we ask for has one.
        guard !question.name.isEmpty,
            question.name.utf8.allSatisfy({
                $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\")
            })
        else { return nil }
        var packet = [UInt8](repeating: 0, count: Int(EKIDEN_DNS_QUESTION_BYTES))
        let length = ekiden_dns_write_question(
            &packet,
            id,
            question.name,
            question.type,
            withExtension ? Self.payloadBytes : 0
        )
        guard length > 0 else { return nil }
        packet.removeSubrange(Int(length)...)
        bytes = packet
        hasExtension = withExtension
        questionEnd = Int(length) - (withExtension ? Self.extensionBytes : 0)
    }

    /// An empty OPT record.
    private static let extensionBytes = 11

    /// nil when the bytes answer something else, or nothing: to be passed over while waiting for
    /// the real answer, for anybody may send us packets.
    func judge(_ reply: UnsafeRawBufferPointer) -> Verdict? {
        guard reply.count >= Int(EKIDEN_DNS_HEADER_BYTES),
            reply[0] == bytes[0], reply[1] == bytes[1],
            // A response (QR) to a standard query (OPCODE 0).
            reply[2] & 0xf8 == 0x80
        else { return nil }
        let code = reply[3] & 0x0f
        let isAnswer = code == 0 || code == 3
        let questions = UInt16(reply[4]) << 8 | UInt16(reply[5])
        // Servers that refuse or fail may leave the question out; an answer may not.
        guard questions == 1 ? repeatsQuestion(reply) : questions == 0 && !isAnswer else {
            return nil
        }
        if isAnswer { return reply[2] & 0x02 != 0 ? .truncated : .answer }
        // FORMERR or NOTIMP.
        return hasExtension && (code == 1 || code == 4) ? .withoutExtension : .failure
    }

    /// Name, type and class as asked; letters of either case (RFC 1035 §2.3.3). The first name of a
    /// message has nothing to point back to, so it stands there uncompressed, as we wrote it. Length
    /// bytes are below 64 and so never folded; type and class are compared as they are.
    private func repeatsQuestion(_ reply: UnsafeRawBufferPointer) -> Bool {
        guard reply.count >= questionEnd else { return false }
        for i in Int(EKIDEN_DNS_HEADER_BYTES)..<questionEnd {
            let isName = i < questionEnd - 4
            let (ours, theirs) = (bytes[i], reply[i])
            guard ours == theirs || isName && Self.folded(ours) == Self.folded(theirs) else {
                return false
            }
        }
        return true
    }

    private static func folded(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
    }
}
