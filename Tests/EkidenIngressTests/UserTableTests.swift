import EkidenCrypto
import EkidenIngress
import Testing

let anna = ScramKeys(password: Array("sesame".utf8), salt: Array(0..<16), iterations: 4096)
let tim = ScramKeys(password: Array("open".utf8), salt: Array(16..<32), iterations: 5000)

/// "sésame", hashed by Python's hashlib.
let eva = ScryptHash(
    cost: .init(log2N: 12, parallelization: 2),
    salt: Array(0..<16),
    hash: Base64.decodeUnpadded("r6T2ob2+X0ZZVfE4VAEbwUSpHz0jF9JmiaznDYphiXU") ?? []
)

private func table(_ text: String) throws -> UserTable {
    try UserTable(parsing: Array(text.utf8))
}

@Suite struct UserTableTests {
    @Test func `users, comments and what follows the keys are read`() throws {
        let text = """
            # Users
            #secret AAECAwQFBgcICQoLDA0ODw==

            anna:\(anna.text)
            tim@b.example:\(tim.text):1000:1000::/home/tim
               
            """ + "\n"
        let users = try table(text)
        #expect(users.count == 2)
        #expect(users.user(named: "anna")?.record == .scram(anna))
        #expect(users.user(named: "ANNA")?.name == "anna")
        #expect(users.user(named: "tim@b.example")?.record == .scram(tim))
        #expect(users.user(named: "tim") == nil)
        #expect(users.secret == Array(0..<16))
        #expect(users.all.map(\.name) == ["anna", "tim@b.example"])
        #expect(users.text == text)
    }

    @Test func `an empty file has no users`() throws {
        #expect(try table("").count == 0)
        #expect(try table("\n\n# nobody\n").count == 0)
        #expect(try table("").text == "")
    }

    static let broken: [(String, Int)] = [
        ("anna", 1), ("\nanna:", 2), (":\(anna.text)", 1), ("an na:\(anna.text)", 1),
        ("anna:{PLAIN}sesame", 1), ("anna:\(anna.text)x", 1), ("anna:\(anna.text) ", 1),
        ("anna:\(anna.text)\r", 1), ("\tanna:\(anna.text)", 1),
        ("anna:\(anna.text)\nAnna:\(tim.text)", 2), ("#secret \nanna:\(anna.text)", 1),
        ("#secret AAEC", 1), ("# x\n#secret AAECAwQFBgcICQoLDA0ODw==\n#secret !", 3),
        ("#secret AAECAwQFBgcICQoLDA0ODw==\n#secret AAECAwQFBgcICQoLDA0ODw==", 2),
        ("anna:\(eva.text)$", 1), ("anna\0:\(anna.text)", 1), ("anna:{SCRAM-SHA-256}1,,,", 1),
    ]

    @Test(arguments: broken)
    func `a line that can't be understood is named`(_ text: String, _ line: Int) {
        #expect { try table(text) } throws: { ($0 as? UserTableProblem)?.line == line }
    }

    @Test func `bytes that are no UTF-8 are refused`() {
        #expect(throws: UserTableProblem.self) { try UserTable(parsing: [0x61, 0xff]) }
    }

    @Test func `changes touch their own line and no other`() throws {
        var users = try table("# one\nanna:\(anna.text):rest:x\n# two\ntim:\(tim.text)\n# three\n")
        users.set("ANNA", .scram(tim))
        users.set("eva", .scram(anna))
        #expect(
            users.text
                == "# one\nanna:\(tim.text):rest:x\n# two\ntim:\(tim.text)\n# three\n"
                + "eva:\(anna.text)\n"
        )
        let removals = [users.remove("Anna"), users.remove("anna")]
        #expect(removals == [true, false])
        users.set("tim", .scram(anna))
        #expect(users.text == "# one\n# two\ntim:\(anna.text)\n# three\neva:\(anna.text)\n")
        users.begin(secret: Array(0..<32))
        users.set("eva", .scram(tim))
        let again = try table(users.text)
        #expect(again == users)
        #expect(again.secret == Array(0..<32) && again.user(named: "eva")?.record == .scram(tim))
    }

    @Test func `made-up users' records cost what users' cost, as often`() throws {
        let secret: [UInt8] = Array(0..<32)
        let scram = PasswordRecord.Cost.scram
        #expect(try table("").cost(forNobody: "x", secret: secret) == scram(10_000))
        #expect(try table("").usualIterations == 10_000)
        var mixed = try table("a:\(anna.text)\nb:\(eva.text)\nc:\(eva.text)\nd:\(eva.text)")
        let costs = (0..<400).map { mixed.cost(forNobody: "n\($0)", secret: secret) }
        #expect(costs == (0..<400).map { mixed.cost(forNobody: "n\($0)", secret: secret) })
        // A quarter, as of the users.
        #expect((60...140).contains(costs.count { $0 == scram(4096) }))
        #expect(costs.allSatisfy { $0 == scram(4096) || $0 == .scrypt(eva.cost) })
        #expect(mixed.usualIterations == 4096)
        _ = mixed.remove("a")
        #expect(mixed.usualIterations == 10_000)
        #expect(mixed.cost(forNobody: "n1", secret: secret) == .scrypt(eva.cost))
        #expect(
            try table("a:\(anna.text)\nb:\(tim.text)\nc:\(tim.text)").usualIterations == 5000
        )
        #expect(try table("a:\(anna.text)\nb:\(tim.text)").usualIterations == 5000)
    }

    @Test func `only who has keys can log in by SCRAM`() throws {
        #expect(try !table("").hasSCRAMKeys)
        #expect(try !table("b:\(eva.text)").hasSCRAMKeys)
        var mixed = try table("a:\(anna.text)\nb:\(eva.text)")
        #expect(mixed.hasSCRAMKeys)
        _ = mixed.remove("a")
        #expect(!mixed.hasSCRAMKeys)
    }

    @Test func `random files are read back as they are, or refused`() {
        var state: UInt64 = 77
        func next(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        let pieces: [[UInt8]] =
            [
                "anna", ":", anna.text, "\n", "#", "#secret ", "AAECAwQFBgcICQoLDA0ODw==", " ",
                "{SCRAM-SHA-256}", "4096,", ",", "$", eva.text, "tim:\(tim.text)\n", "\r\n", "é",
                "\0",
            ].map { Array($0.utf8) } + [[0xff], [0x80]]
        var taken = 0
        for _ in 0..<20_000 {
            let bytes = (0..<next(7)).flatMap { _ in pieces[next(pieces.count)] }
            guard let users = try? UserTable(parsing: bytes) else { continue }
            taken += 1
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(users.text == (text.isEmpty || text.utf8.last == 0x0a ? text : text + "\n"))
        }
        #expect(taken > 1000)
    }
}
