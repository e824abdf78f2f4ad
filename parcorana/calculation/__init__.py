"""What a calculation is: what a user class may define, how it is called, what it keeps."""
