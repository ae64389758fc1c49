"""What each notebook computes, one module a question: its tables and sentences, no drawing."""
