// [[certificate_user]]: client certificates that stand for users.

import EkidenMail

extension Schema {
    static let certificateUser = SectionSchema.list(
        "certificate_user",
        \.certificateUsers,
        """
        Client certificates that stand for users. Whoever shows one to a listener that asks for it \
        (client_certificate) may send to anywhere, and may log in with EXTERNAL. Each has a \
        fingerprint or a subject; the first that fits counts. See docs/USERS.md.
        """,
        [
            Setting(
                "name",
                \.name,
                .userName,
                example: #""printer-3""#,
                required: true,
                "The user. Several certificates may be one user's."
            ),
            Setting(
                "fingerprint",
                \.fingerprint,
                .optional(.fingerprint),
                default: "unset",
                example: #""3fa51c0e9b7d24486fe0a1c5d2837b9e4d60f1a83c5be7920f4d6b18a7c3e25f""#,
                """
                SHA-256 of the certificate, in hexadecimal digits, as \
                `openssl x509 -noout -fingerprint -sha256` prints it. Nobody needs to vouch for it.
                """
            ),
            Setting(
                "subject",
                \.subject,
                .optional(.certificateName),
                default: "unset",
                example: #""printer-3.example.org""#,
                """
                A DNS name or mail address in the subject alternative name of a certificate that \
                the listener's client_authorities vouch for; `*.example.org` stands for any one \
                name in its place.
                """
            ),
        ]
    )
}
