// Balancers, name servers, files and the control socket.

import EkidenConfiguration
import EkidenControl
import EkidenIngress
import EkidenMail
import EkidenResolver
import EkidenRuntime

@testable import EkidenLinux

enum DataFuzz {
    /// What is found in the first bytes does not change with what follows.
    static func proxy(_ input: [UInt8]) {
        let whole = input.withUnsafeBytes { ProxyHeader.find(in: $0) }
        for count in 0..<min(input.count, 600) {
            let part = Array(input[..<count]).withUnsafeBytes { ProxyHeader.find(in: $0) }
            switch part {
            case .incomplete: continue
            case .malformed: demand(whole == .malformed, "more bytes mend a malformed header")
            case .header(_, let byteCount):
                demand(byteCount <= count, "a header longer than what there was")
                demand(part == whole, "more bytes change a header")
            }
            return
        }
    }

    static func names(_ input: [UInt8]) {
        let input = FuzzInput(input)
        let types = [RecordType.mx, RecordType.a, RecordType.aaaa, RecordType.cname]
        let type = input.has(7) ? RecordType.ptr : types[input.choice & 3]
        var inquiry = Inquiry(NameQuestion(name: "example.org", type: type))
        if case .done(let lookup, _) = inquiry.take(input.bytes) { _ = "\(lookup)" }
        if let answer = Answer(input.bytes) {
            demand(
                answer.answers.count <= Answer.recordsPerSectionMax,
                "more records than are looked at"
            )
        }
        _ = HostTable(text: input.bytes)
        let plan = ResolverFile.parse(input.bytes)
        demand(
            (1...ResolverFile.serversMax).contains(plan.servers.count) && plan.attempts > 0
                && plan.timeout > .zero,
            "a resolv.conf that asks nobody, or without end"
        )
        // A name for the DNS is one, and stays what it is.
        if let name = Domain(String(decoding: input.bytes, as: UTF8.self)).lookupName {
            demand(name.utf8.allSatisfy { $0 < 0x80 }, "a name to look up beyond ASCII")
            // One dot at the end is the root's, and left out; more of them are no name.
            if !name.hasSuffix(".") {
                demand(Domain(name).lookupName == name, "looked up again it is another name")
            }
        }
    }

    static func configuration(_ input: [UInt8]) {
        let inspection = Configuration.inspect(text: input, file: "f", hostname: "mail.example.org")
        for problem in inspection.problems {
            demand(!problem.text.utf8.contains(10), "a problem of two lines")
        }
    }

    static func users(_ input: [UInt8]) {
        if let table = try? UserTable(parsing: input) { _ = table.user(named: "anna") }
    }

    /// Whatever is asked of a list that was taken has an answer.
    static func lists(_ input: [UInt8]) {
        let input = FuzzInput(input)
        let forms = [ListForm.clients, .mailboxes, .recipients, .senders]
        let form = forms[input.choice & 3]
        do throws(EntryListProblem) {
            let list = try EntryList(parsing: input.bytes, as: form)
            _ = list.match(.v4(0xc000_0201))
            let address = Address(localPart: "a.b", domain: Domain("x.example.org"))
            demand(!list.isEmpty || list.match(address) == nil, "an empty list has an address")
            demand(list.count > 0 || list.isEmpty, "nothing in it, and not empty")
        } catch {
            demand(!error.lines.isEmpty && !error.text.utf8.contains(10), "no sentence, or two")
        }
    }

    /// What is understood is understood the same when we say it.
    static func control(_ input: [UInt8]) {
        guard let request = try? input.withUnsafeBytes({ try ControlRequest(line: $0) }) else {
            return
        }
        let line = request.line.array
        let again = try? line.withUnsafeBytes { try ControlRequest(line: $0) }
        demand(again == request, "said again it is another request")
    }
}
