class PasswordPolicy:
    def __init__(self, minimum_length, context_words):
        self.minimum_length = minimum_length

    def check(self, password, *, about=()):
        pass
