def describe(x):
    return "Browser"
